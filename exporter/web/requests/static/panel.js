// The side panel: all of one request, as a list or as JSON, or why there is none.

import { label, reading } from "./fields.js";
import { element, visible } from "./text.js";

const panel = document.getElementById("panel");
const details = document.getElementById("details");
const missing = document.getElementById("missing");
const list = document.getElementById("list");
const json = document.getElementById("json");
let shown = null;

export function show(request) {
  shown = request;
  list.replaceChildren();
  for (const [name, found] of Object.entries(request)) {
    const rows = name === "attributes" ? Object.entries(found) : [[label(name), reading(name, found)]];
    for (const [term, text] of rows) {
      const isSuccess = name === "error_type" && found === null;
      list.append(element("dt", term), element("dd", isSuccess ? "none" : text));
    }
  }
  json.textContent = JSON.stringify(request, null, 2).split("\n").map(visible).join("\n");
  document.getElementById("api").href = `api/v1/requests/${encodeURIComponent(request.key)}`;
  open({ isMissing: false });
}

export function showMissing(reason) {
  shown = null;
  missing.textContent = reason;
  open({ isMissing: true });
}

function open({ isMissing }) {
  details.hidden = isMissing;
  missing.hidden = !isMissing;
  panel.hidden = false;
}

export const isOpen = () => !panel.hidden;

export function hide() {
  shown = null;
  panel.hidden = true;
}

export const current = () => shown;

// `name`: list or json.
export function choose(name) {
  for (const [tab, body] of [["list", list], ["json", json]]) {
    document.getElementById(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
    body.hidden = tab !== name;
  }
}

export const form = () => (json.hidden ? "list" : "json");

function asText() {
  if (form() === "json") return JSON.stringify(shown, null, 2);
  const terms = [...list.querySelectorAll("dt")];
  return terms.map((term) => `${term.textContent}: ${term.nextElementSibling.textContent}`).join("\n");
}

export async function copy(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser refuses";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

document.getElementById("copy").addEventListener("click", (event) => copy(event.currentTarget, asText()));
