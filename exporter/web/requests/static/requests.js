// The page: asks the API for what the address says, and shows it.

import * as filters from "./filters.js";
import * as panel from "./panel.js";
import { count, duration, element, offset, time } from "./text.js";

const LIVE_MS = 3000;
const LIMIT = 100;

const get = (id) => document.getElementById(id);
const rows = get("table").tBodies[0];
let address = new URLSearchParams();
let requests = [];
let next = null;
let asking = null;

async function ask(path) {
  asking?.abort();
  asking = new AbortController();
  const response = await fetch(path, { signal: asking.signal, cache: "no-store" });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const errors = (answer?.errors ?? []).map((error) => `${error.parameter}: ${error.detail}`);
  throw new Error([answer?.detail ?? `The server answers ${response.status}.`, ...errors].join("\n"));
}

async function load() {
  const query = filters.toQuery();
  query.set("limit", LIMIT);
  if (address.has("cursor")) {
    query.set("cursor", address.get("cursor"));
    for (const name of ["from", "to"]) if (address.has(name)) query.set(name, address.get(name));
  }
  get("table").setAttribute("aria-busy", "true");
  if (!requests.length) get("summary").textContent = "Searching …";
  try {
    const answer = await ask(`api/v1/requests?${query}`);
    get("error").hidden = true;
    showPage(answer, query);
  } catch (error) {
    if (error.name === "AbortError") return;
    requests = [];
    rows.replaceChildren();
    for (const id of ["empty", "older"]) get(id).hidden = true;
    get("error").hidden = false;
    get("error").firstElementChild.textContent = error.message;
    get("summary").textContent = "";
  }
  get("table").setAttribute("aria-busy", "false");
}

function showPage(answer, query) {
  requests = answer.items;
  next = answer.next && { cursor: answer.next, from: query.get("from"), to: query.get("to") };
  const focused = document.activeElement?.closest?.("tbody tr")?.dataset.key;
  rows.replaceChildren(...requests.map(row));
  if (focused) rows.querySelector(`tr[data-key="${CSS.escape(focused)}"] button`)?.focus();
  get("zone").textContent = filters.isLocal() ? `(${offset(new Date())})` : "(UTC)";
  get("older").hidden = !next;
  get("newest").hidden = !address.has("cursor");
  get("summary").textContent = summary(answer);
  get("empty").hidden = requests.length > 0;
  get("empty").lastElementChild.textContent = hint(answer);
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
  if (!answer.oldest_day) return "Nothing is logged yet.";
  if (next) return "None so far; “Older” searches further back.";
  return `Nothing matches these filters. Requests are kept since ${answer.oldest_day} (UTC).`;
}

function row(request) {
  const made = document.createElement("tr");
  made.dataset.key = request.key;
  const usage = element("td", count(request.total_tokens));
  if (request.total_tokens !== null) {
    const parts = [`${count(request.input_tokens) ?? "?"} in`, `${count(request.output_tokens) ?? "?"} out`];
    usage.append(" ", element("small", `(${parts.join(", ")})`));
  }
  const isSuccess = request.error_type === null && request.status_code < 300;
  const status = element("td", request.status_code, `status ${isSuccess ? "good" : "bad"}`);
  if (!isSuccess && request.error_type !== String(request.status_code)) {
    status.append(" ", element("small", request.error_type));
  }
  const when = element("td", time(request.start_time, filters.isLocal(), false), "time");
  when.title = time(request.start_time, filters.isLocal(), true);
  const id = element("td", request.request_id, "id");
  const model = element("td", request.model, "model");
  for (const cell of [id, model]) cell.title = cell.textContent;
  const open = element("button", "Details");
  open.type = "button";
  open.addEventListener("click", () => openRequest(request.key));
  const last = document.createElement("td");
  last.append(open);
  const cells = { "Request ID": id, Timestamp: when, Model: model, Usage: usage,
    TTFT: element("td", duration(request.time_to_first_token_ms)),
    Latency: element("td", duration(request.latency_ms)), Status: status };
  for (const [name, cell] of Object.entries(cells)) {
    cell.dataset.label = name;
    if (cell.classList.contains("unknown")) cell.textContent = "–";
    made.append(cell);
  }
  made.append(last);
  return made;
}

function go(to, { replace = false } = {}) {
  const url = `${location.pathname}${String(to) ? `?${to}` : ""}`;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  address = to;
}

function search() {
  go(filters.toAddress());
  requests = [];
  panel.hide();
  load();
}

async function openRequest(key, { isNew = true } = {}) {
  if (isNew) {
    const to = new URLSearchParams(address);
    to.set("request", key);
    go(to, { replace: panel.current() !== null });
  }
  let request = requests.find((one) => one.key === key);
  try {
    request ??= await (await fetch(`api/v1/requests/${encodeURIComponent(key)}`)).json();
  } catch {
    request = null;
  }
  if (request?.key !== key) return closePanel();
  panel.show(request);
  get("panel-title").focus();
  mark();
}

function closePanel() {
  const key = panel.current()?.key;
  panel.hide();
  const to = new URLSearchParams(address);
  to.delete("request");
  go(to, { replace: true });
  mark();
  if (key) rows.querySelector(`tr[data-key="${CSS.escape(key)}"] button`)?.focus();
}

function mark() {
  for (const one of rows.rows) {
    one.setAttribute("aria-selected", String(one.dataset.key === panel.current()?.key));
  }
}

function step(by) {
  const place = requests.findIndex((one) => one.key === panel.current()?.key);
  const to = requests[panel.current() ? place + by : 0];
  if (!to) return;
  openRequest(to.key);
  rows.querySelector(`tr[data-key="${CSS.escape(to.key)}"]`)?.scrollIntoView({ block: "nearest" });
}

async function suggestModels() {
  const query = filters.toQuery();
  const range = new URLSearchParams([...query].filter(([name]) => name === "from" || name === "to"));
  try {
    const answer = await (await fetch(`api/v1/models?${range}`)).json();
    const named = answer.items.filter((one) => one.model !== null);
    get("models").replaceChildren(
      ...named.map((one) => new Option(`${count(one.requests)} requests`, one.model)),
    );
  } catch {
    get("models").replaceChildren();
  }
}

function follow() {
  address = new URLSearchParams(location.search);
  filters.fillForm(address);
  requests = [];
  panel.hide();
  load();
  if (address.has("request")) openRequest(address.get("request"), { isNew: false });
}

const canRefresh = () => filters.isLive() && !document.hidden && !address.has("cursor")
  && scrollY < 80 && get("panel").hidden;

filters.addAttributeFields();
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
filters.form.elements.model.addEventListener("focus", suggestModels);
get("export").addEventListener("toggle", () => {
  for (const link of get("export").querySelectorAll("a")) {
    const query = filters.toQuery();
    query.set("format", link.dataset.format);
    link.href = `api/v1/requests/export?${query}`;
  }
});
get("link").addEventListener("click", (event) => {
  panel.copy(event.currentTarget, `${location.origin}${location.pathname}?${filters.toLink()}`);
});
get("error").lastElementChild.addEventListener("click", load);
get("older").addEventListener("click", () => {
  const to = filters.toAddress();
  to.delete("live");
  for (const [name, value] of Object.entries(next)) if (value) to.set(name, value);
  go(to);
  filters.fillForm(address);
  load().then(() => scrollTo(0, 0));
});
get("newest").addEventListener("click", search);
get("close").addEventListener("click", closePanel);
get("next").addEventListener("click", () => step(1));
get("previous").addEventListener("click", () => step(-1));
addEventListener("popstate", follow);
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && panel.current()) closePanel();
  if (event.key === "j" || (event.key === "ArrowDown" && panel.current())) step(1);
  if (event.key === "k" || (event.key === "ArrowUp" && panel.current())) step(-1);
});
setInterval(() => { if (canRefresh()) load(); }, LIVE_MS);
follow();
