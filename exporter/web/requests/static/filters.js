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

export function prepareFields() {
  for (const name of attributes) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.name = `attribute.${name}`;
    input.placeholder = "any";
    label.append(name, " ", input);
    document.querySelector("#more .fields").append(label);
  }
  for (const name of lists) form.elements[name].title = "Several values with a comma and a space between them";
}

export const isLocal = () => form.elements.tz.value === "local";
export const isLive = () => form.elements.live.checked;

// Several values of one field stand with a comma and a space between them. A status has no comma in it,
// so that the space may be missing.
const values = (name) => form.elements[name].value.split(name === "status" ? /,\s*/ : /,\s+/).filter(Boolean);

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

// Where there are from and to, they count; a range beside them is what "Newest" goes back to.
export function rangeOf(address) {
  if (address.has("from") || address.has("to")) return "custom";
  const range = address.get("range");
  return range === "all" || Object.hasOwn(RANGES, range) ? range : "1h";
}

export function fillForm(address) {
  form.reset();
  form.elements.tz.value = address.get("tz") === "local" ? "local" : "utc";
  form.elements.range.value = rangeOf(address);
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

// The page's address for what the form says; relative ranges stay relative.
export function toAddress() {
  const address = new URLSearchParams();
  for (const name of lists) for (const value of values(name)) address.append(name, value);
  for (const name of SINGLE) if (form.elements[name].value) address.set(name, form.elements[name].value.trim());
  const range = form.elements.range.value;
  const ends = range === "custom" ? ["from", "to"].filter(fromInput) : [];
  for (const name of ends) address.set(name, fromInput(name));
  if (!ends.length) address.set("range", range === "custom" ? "all" : range);
  const columns = [...form.elements.columns].filter((box) => box.checked).map((box) => box.value).join(",");
  if (columns !== USUAL.join(",")) address.set("columns", columns);
  if (isLocal()) address.set("tz", "local");
  if (isLive()) address.set("live", "1");
  return address;
}

// What the API is asked for an address: ranges are absolute.
export function toQuery(address) {
  const query = new URLSearchParams();
  for (const name of [...lists, ...SINGLE, "from", "to"]) {
    for (const value of address.getAll(name)) if (value) query.append(name, value);
  }
  const range = rangeOf(address);
  if (Object.hasOwn(RANGES, range)) {
    const now = Date.now();
    query.set("from", new Date(now - RANGES[range] * 1000).toISOString());
    if (address.get("live") !== "1") query.set("to", new Date(now).toISOString());
  }
  return query;
}

// The address of just what is shown now, for somebody else.
export function toLink(address) {
  const link = new URLSearchParams(address);
  link.delete("live");
  const query = toQuery(link);
  link.delete("range");
  for (const name of ["from", "to"]) if (query.has(name)) link.set(name, query.get(name));
  if (!link.has("from") && !link.has("to")) link.set("range", "all");
  return link;
}
