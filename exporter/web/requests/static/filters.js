// The form, the address of the page and the parameters of the API: one state in three forms.

const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "14d": 1209600 };
const LISTS = ["model", "status", "provider", "operation", "error_type", "source"];
const SINGLE = ["id", "min_latency_ms", "streamed"];

// Columns of the table unless others are chosen.
export const USUAL = ["request_id", "start_time", "model", "total_tokens",
  "time_to_first_token_ms", "latency_ms", "status_code"];

export const form = document.getElementById("filters");
export const attributes = document.querySelector("meta[name=attributes]").content.split(",").filter(Boolean);
const lists = [...LISTS, ...attributes.map((name) => `attribute.${name}`)];

export function addAttributeFields() {
  for (const name of attributes) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.name = `attribute.${name}`;
    input.placeholder = "any";
    label.append(name, " ", input);
    document.querySelector("#more .fields").append(label);
  }
}

export const isLocal = () => form.elements.tz.value === "local";
export const isLive = () => form.elements.live.checked;

// Several values of one field stand with a comma and a space between them.
const values = (name) => form.elements[name].value.split(/,\s+/).filter(Boolean);

function toInput(instant) {
  if (!instant) return "";
  const date = new Date(/^\d+$/.test(instant) ? Number(instant) : instant);
  if (Number.isNaN(date.getTime())) return "";
  const shift = isLocal() ? date.getTimezoneOffset() * 60000 : 0;
  return new Date(date.getTime() - shift).toISOString().slice(0, 19);
}

function fromInput(name) {
  const text = form.elements[name].value;
  if (!text) return null;
  const date = new Date(isLocal() ? text : `${text}Z`);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

export function showCustomRange() {
  for (const label of form.querySelectorAll(".custom")) {
    label.hidden = form.elements.range.value !== "custom";
  }
}

export function fillForm(address) {
  form.reset();
  form.elements.tz.value = address.get("tz") === "local" ? "local" : "utc";
  const isAbsolute = address.has("from") || address.has("to");
  const range = address.get("range");
  form.elements.range.value = isAbsolute ? "custom" : range === "all" || Object.hasOwn(RANGES, range) ? range : "1h";
  form.elements.from.value = toInput(address.get("from"));
  form.elements.to.value = toInput(address.get("to"));
  for (const name of lists) form.elements[name].value = address.getAll(name).join(", ");
  for (const name of SINGLE) form.elements[name].value = address.get(name) ?? "";
  form.elements.live.checked = address.get("live") === "1";
  const columns = (address.get("columns") ?? USUAL.join(",")).split(",");
  for (const box of form.elements.columns) box.checked = columns.includes(box.value);
  const hasMore = [...address.keys()].some((name) => document.querySelector(`#more [name="${CSS.escape(name)}"]`));
  document.getElementById("more").open ||= hasMore;
  showCustomRange();
}

function matching() {
  const found = new URLSearchParams();
  for (const name of lists) for (const value of values(name)) found.append(name, value);
  for (const name of SINGLE) if (form.elements[name].value) found.set(name, form.elements[name].value.trim());
  return found;
}

// What the page's address says; relative ranges stay relative.
export function toAddress() {
  const address = matching();
  const range = form.elements.range.value;
  if (range !== "custom") address.set("range", range);
  for (const name of range === "custom" ? ["from", "to"] : []) {
    if (fromInput(name)) address.set(name, fromInput(name));
  }
  const columns = [...form.elements.columns].filter((box) => box.checked).map((box) => box.value).join(",");
  if (columns !== USUAL.join(",")) address.set("columns", columns);
  if (isLocal()) address.set("tz", "local");
  if (isLive()) address.set("live", "1");
  return address;
}

// What the API is asked: ranges are absolute.
export function toQuery() {
  const query = matching();
  const range = form.elements.range.value;
  if (range === "custom") {
    for (const name of ["from", "to"]) if (fromInput(name)) query.set(name, fromInput(name));
  } else if (range !== "all") {
    const now = Date.now();
    query.set("from", new Date(now - RANGES[range] * 1000).toISOString());
    if (!isLive()) query.set("to", new Date(now).toISOString());
  }
  return query;
}

// The address of just what is shown now, for somebody else.
export function toLink() {
  const address = toAddress();
  const query = toQuery();
  address.delete("range");
  address.delete("live");
  for (const name of ["from", "to"]) if (query.has(name)) address.set(name, query.get(name));
  if (!address.has("from") && !address.has("to")) address.set("range", "all");
  return address;
}
