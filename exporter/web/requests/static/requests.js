// The page: asks the API for what the address says, and shows it. What is typed counts once it is
// searched for.

import * as filters from "./filters.js";
import * as panel from "./panel.js";
import * as table from "./table.js";
import { count, time } from "./text.js";

const LIVE_MS = 3000;
const LIMIT = 100;
const SUGGESTIONS = 50;

const get = (id) => document.getElementById(id);
const rows = get("table").tBodies[0];
let address = new URLSearchParams();
let requests = [];
let next = null;
let asking = null;
let suggesting = null;

async function ask(path, signal) {
  const response = await fetch(path, { signal, cache: "no-store" });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const errors = (answer?.errors ?? []).map((error) => `${error.parameter}: ${error.detail}`);
  throw new Error([answer?.detail ?? `The server answers ${response.status}.`, ...errors].join("\n"));
}

async function load() {
  const query = filters.toQuery(address);
  query.set("limit", LIMIT);
  if (address.has("cursor")) query.set("cursor", address.get("cursor"));
  get("table").setAttribute("aria-busy", "true");
  if (!requests.length) get("summary").textContent = "Searching …";
  asking?.abort();
  asking = new AbortController();
  try {
    const answer = await ask(`api/v1/requests?${query}`, asking.signal);
    get("error").hidden = true;
    showPage(answer, query);
  } catch (error) {
    if (error.name === "AbortError") return;
    requests = [];
    rows.replaceChildren();
    for (const id of ["empty", "older", "count"]) get(id).hidden = true;
    get("error").hidden = false;
    get("error").firstElementChild.textContent = error.message;
    get("summary").textContent = "";
  }
  get("table").setAttribute("aria-busy", "false");
}

function showPage(answer, query) {
  requests = answer.items;
  next = answer.next && { cursor: answer.next, from: query.get("from"), to: query.get("to") };
  drawTable();
  get("older").hidden = !next;
  get("count").hidden = !next || filters.isLive();
  get("newest").hidden = !address.has("cursor");
  get("summary").textContent = summary(answer);
  get("empty").hidden = requests.length > 0;
  get("empty").lastElementChild.textContent = hint(answer);
}

function drawTable() {
  const focused = document.activeElement?.closest?.("tbody tr")?.dataset.key;
  get("table").tHead.replaceChildren(table.head());
  rows.replaceChildren(...requests.map((request) => table.row(request, openRequest)));
  if (focused) rows.querySelector(`tr[data-key="${CSS.escape(focused)}"] button`)?.focus();
  for (const place of document.querySelectorAll(".zone")) place.textContent = table.zone();
  mark();
}

function summary(answer) {
  const parts = [`${count(requests.length)}${next ? "+" : ""} requests`];
  const isCut = next && requests.length < LIMIT;
  if (isCut && answer.searched_to) {
    const place = time(answer.searched_to, filters.isLocal(), true);
    parts.push(`time was up: searched back to ${place}; “Older” goes on`);
  }
  if (answer.oldest_day) parts.push(`kept since ${answer.oldest_day} (UTC)`);
  if (address.has("id")) parts.push("looked for on all days, whatever the other filters");
  return parts.join(" · ");
}

function hint(answer) {
  if (!answer.oldest_day) return "Nothing is logged yet; “Overview” says what came of each source.";
  if (next) return "None so far; “Older” searches further back.";
  return `Nothing matches these filters. Requests are kept since ${answer.oldest_day} (UTC).`;
}

function go(to, { replace = false } = {}) {
  const url = `${location.pathname}${String(to) ? `?${to}` : ""}`;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  address = to;
}

function search() {
  go(filters.toAddress());
  show();
}

function newest() {
  const to = new URLSearchParams(address);
  const pinned = to.has("range") ? ["from", "to"] : [];
  for (const name of ["cursor", "request", "details", ...pinned]) to.delete(name);
  go(to);
  filters.fillForm(to);
  show();
}

// Ask for what the address says; what was shown before has nothing to go on with.
function show() {
  requests = [];
  next = null;
  get("older").hidden = true;
  panel.hide();
  load();
}

async function openRequest(key, { isNew = true } = {}) {
  if (isNew) {
    const to = new URLSearchParams(address);
    to.set("request", key);
    if (panel.form() === "json") to.set("details", "json");
    go(to, { replace: panel.isOpen() });
  }
  try {
    panel.show(requests.find((one) => one.key === key) ?? await askFor(key));
  } catch (error) {
    panel.showMissing(error.message);
  }
  get("panel-title").focus();
  mark();
}

async function askFor(key) {
  const request = await ask(`api/v1/requests/${encodeURIComponent(key)}`);
  if (request.key !== key) throw new Error("No request that is kept has this key."); // It is an id.
  return request;
}

function closePanel() {
  const key = panel.current()?.key;
  panel.hide();
  const to = new URLSearchParams(address);
  for (const name of ["request", "details"]) to.delete(name);
  go(to, { replace: true });
  mark();
  if (key) rows.querySelector(`tr[data-key="${CSS.escape(key)}"] button`)?.focus();
}

// Only when asked for: to count 14 days takes longer than to show a page of them.
async function countAll() {
  const query = filters.toQuery(address);
  for (const name of ["from", "to"]) if (next?.[name]) query.set(name, next[name]);
  query.set("limit", 1);
  get("count").disabled = true;
  try {
    const { requests: found, searched_to: place } = await ask(`api/v1/models?${query}`);
    const since = place && `, counted back to ${time(place, filters.isLocal(), true)}: time was up`;
    get("summary").textContent = `${count(found)} requests${since ? ` or more${since}` : " in all"}`;
    get("count").hidden = true;
  } catch (error) {
    get("summary").textContent = error.message;
  }
  get("count").disabled = false;
}

function mark() {
  const place = requests.findIndex((one) => one.key === panel.current()?.key);
  get("previous").disabled = place === 0;
  get("next").disabled = place === requests.length - 1 && !next;
  for (const one of rows.rows) {
    one.setAttribute("aria-selected", String(one.dataset.key === panel.current()?.key));
  }
}

async function step(by) {
  const place = requests.findIndex((one) => one.key === panel.current()?.key);
  let to = requests[panel.current() ? place + by : 0];
  if (!to && by > 0 && next) {
    await older();
    to = requests[0];
  }
  if (!to) return;
  openRequest(to.key);
  rows.querySelector(`tr[data-key="${CSS.escape(to.key)}"]`)?.scrollIntoView({ block: "nearest" });
}

async function suggestModels() {
  suggesting?.abort();
  suggesting = new AbortController();
  const [, before, part] = filters.form.elements.model.value.match(/^(.*,\s+)?(.*)$/);
  const query = new URLSearchParams({ search: part, limit: SUGGESTIONS });
  const typed = filters.toQuery(filters.toAddress());
  for (const name of ["from", "to"]) if (typed.has(name)) query.set(name, typed.get(name));
  try {
    const { items } = await ask(`api/v1/models?${query}`, suggesting.signal);
    const named = items.filter((one) => one.model !== null);
    get("models").replaceChildren(...named.map(
      (one) => new Option(`${count(one.requests)} requests`, `${before ?? ""}${one.model}`),
    ));
  } catch (error) {
    if (error.name !== "AbortError") get("models").replaceChildren();
  }
}

function prepareExports() {
  for (const link of get("export").querySelectorAll("a")) {
    const query = filters.toQuery(address);
    query.set("format", link.dataset.format);
    if (get("fields").value === "shown") for (const name of table.shownFields()) query.append("column", name);
    link.href = `api/v1/requests/export?${query}`;
  }
}

async function older() {
  const to = new URLSearchParams(address);
  for (const name of ["live", "request", "details"]) to.delete(name);
  const range = filters.rangeOf(to);
  if (range !== "custom") to.set("range", range);
  for (const [name, value] of Object.entries(next)) if (value) to.set(name, value);
  go(to);
  filters.fillForm(address);
  await load();
  scrollTo(0, 0);
}

// A part of the address that changes how requests are shown, and not which.
function keep(name, value) {
  const to = new URLSearchParams(address);
  if (value) to.set(name, value);
  else to.delete(name);
  go(to, { replace: true });
}

function follow() {
  address = new URLSearchParams(location.search);
  filters.fillForm(address);
  panel.choose(address.get("details") === "json" ? "json" : "list");
  show();
  if (address.has("request")) openRequest(address.get("request"), { isNew: false });
}

function closeMenus(inside) {
  for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(inside)) menu.open = false;
}

const canRefresh = () => filters.isLive() && !document.hidden && !address.has("cursor")
  && scrollY < 80 && !panel.isOpen();

filters.prepareFields();
table.addChoices(filters.USUAL);
filters.form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
filters.form.elements.tz.addEventListener("change", () => {
  const to = new URLSearchParams(address);
  to.set("tz", filters.form.elements.tz.value);
  go(to);
  filters.fillForm(to);
  load();
});
get("clear").addEventListener("click", () => { filters.fillForm(new URLSearchParams()); search(); });
filters.form.elements.range.addEventListener("change", () => {
  filters.showCustomRange();
  if (filters.form.elements.range.value !== "custom") search();
});
for (const name of ["live", "streamed"]) filters.form.elements[name].addEventListener("change", search);
for (const event of ["focus", "input"]) filters.form.elements.model.addEventListener(event, suggestModels);
get("export").addEventListener("toggle", prepareExports);
get("fields").addEventListener("change", prepareExports);
get("columns").addEventListener("change", () => {
  keep("columns", filters.toAddress().get("columns"));
  drawTable();
});
get("count").addEventListener("click", countAll);
for (const name of ["list", "json"]) {
  get(`tab-${name}`).addEventListener("click", () => {
    panel.choose(name);
    keep("details", name === "json" ? name : null);
  });
}
get("link").addEventListener("click", (event) => {
  panel.copy(event.currentTarget, `${location.origin}${location.pathname}?${filters.toLink(address)}`);
});
get("error").lastElementChild.addEventListener("click", load);
get("older").addEventListener("click", older);
get("newest").addEventListener("click", newest);
get("close").addEventListener("click", closePanel);
get("next").addEventListener("click", () => step(1));
get("previous").addEventListener("click", () => step(-1));
addEventListener("popstate", follow);
addEventListener("click", (event) => closeMenus(event.target));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus(null);
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && panel.isOpen()) closePanel();
  if (event.key === "j" || (event.key === "ArrowDown" && panel.current())) step(1);
  if (event.key === "k" || (event.key === "ArrowUp" && panel.current())) step(-1);
});
setInterval(() => {
  if (canRefresh()) load();
  get("paused").hidden = !filters.isLive() || canRefresh();
}, LIVE_MS);
follow();
