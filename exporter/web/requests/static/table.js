// The table: which columns it has, its head and its rows.

import { attributes, form, isLocal } from "./filters.js";
import { label, reading } from "./fields.js";
import { count, element, offset, time } from "./text.js";

const TITLES = { start_time: "Timestamp", model: "Model", total_tokens: "Usage" };
const HINTS = { start_time: "When the request started" };
const CLASSES = { request_id: "id", start_time: "time", model: "model", status_code: "status" };

// What a column shows beside its own field.
const MORE = { total_tokens: ["input_tokens", "output_tokens"], status_code: ["error_type"] };

const title = (name) => TITLES[name] ?? label(name);

const all = document.querySelector("meta[name=fields]").content.split(",")
  .flatMap((name) => (name === "attributes" ? attributes.map((one) => `attribute.${one}`) : [name]));

export function addChoices(usual) {
  for (const name of all) {
    const choice = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = "columns";
    box.value = name;
    box.defaultChecked = usual.includes(name);
    choice.append(box, " ", title(name));
    document.querySelector("#columns fieldset").append(choice);
  }
}

export const columns = () => [...form.elements.columns].filter((box) => box.checked).map((box) => box.value);

// The fields of an export that has what the table shows.
export function shownFields() {
  const names = columns().flatMap((name) => [name, ...(MORE[name] ?? [])]);
  return [...new Set(names.map((name) => (name.startsWith("attribute.") ? "attributes" : name)))];
}

export const zone = () => (isLocal() ? `(${offset(new Date())})` : "(UTC)");

export function head() {
  const made = document.createElement("tr");
  for (const name of columns()) {
    const cell = element("th", name === "start_time" ? `${title(name)} ${zone()}` : title(name));
    cell.scope = "col";
    if (HINTS[name]) cell.title = HINTS[name];
    made.append(cell);
  }
  const last = document.createElement("th");
  last.append(element("span", "Details", "hidden"));
  made.append(last);
  return made;
}

export function row(request, open) {
  const made = document.createElement("tr");
  made.dataset.key = request.key;
  for (const name of columns()) {
    const made_cell = cell(name, request);
    made_cell.dataset.label = title(name);
    if (CLASSES[name]) made_cell.classList.add(CLASSES[name]);
    made.append(made_cell);
  }
  const button = element("button", "Details");
  button.type = "button";
  button.addEventListener("click", () => open(request.key));
  const last = document.createElement("td");
  last.append(button);
  made.append(last);
  return made;
}

function cell(name, request) {
  if (name === "status_code") return statusCell(request);
  if (name === "total_tokens") return usageCell(request);
  const attribute = name.startsWith("attribute.") ? name.slice("attribute.".length) : null;
  const value = attribute === null ? request[name] : request.attributes[attribute];
  const made = element("td", name === "start_time" ? time(value, isLocal(), false) : reading(name, value));
  if (made.classList.contains("unknown")) made.textContent = "–";
  else made.title = name === "start_time" ? reading(name, value) : made.textContent;
  return made;
}

function usageCell(request) {
  if (request.total_tokens === null) return element("td", "–", "unknown");
  const made = element("td", count(request.total_tokens));
  const parts = [`${count(request.input_tokens) ?? "?"} in`, `${count(request.output_tokens) ?? "?"} out`];
  made.append(" ", element("small", `(${parts.join(", ")})`));
  return made;
}

function statusCell(request) {
  const isSuccess = request.error_type === null && request.status_code < 300;
  const made = element("td", request.status_code, isSuccess ? "good" : "bad");
  if (!isSuccess && request.error_type !== String(request.status_code)) {
    made.append(" ", element("small", request.error_type));
  }
  return made;
}
