// The side panel: all of one request, as a list or as JSON.

import { isLocal } from "./filters.js";
import { count, duration, element, time, visible } from "./text.js";

const panel = document.getElementById("panel");
const list = document.getElementById("list");
const json = document.getElementById("json");
let shown = null;

const LABELS = {
  request_id: "Request ID", start_time: "Started", model: "Model asked for",
  response_model: "Model that answered", total_tokens: "Tokens", time_to_first_token_ms: "TTFT",
  latency_ms: "Latency", status_code: "Status", upstream_time_ms: "Upstream time",
  trace_id: "Trace ID", cache_hit: "From cache", source: "Source", key: "Key in this log",
};

const label = (name) => LABELS[name] ?? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");

function value(name, found) {
  if (found === null) return null;
  if (name === "start_time") return time(found, isLocal(), true);
  if (name.endsWith("_ms")) return duration(found);
  if (typeof found === "boolean") return found ? "yes" : "no";
  if (typeof found === "number" && name !== "status_code") return count(found);
  return found;
}

export function show(request) {
  shown = request;
  list.replaceChildren();
  for (const [name, found] of Object.entries(request)) {
    const rows = name === "attributes" ? Object.entries(found) : [[label(name), value(name, found)]];
    for (const [term, text] of rows) {
      const isSuccess = name === "error_type" && found === null;
      list.append(element("dt", term), element("dd", isSuccess ? "none" : text));
    }
  }
  json.textContent = JSON.stringify(request, null, 2).split("\n").map(visible).join("\n");
  panel.hidden = false;
}

export function hide() {
  shown = null;
  panel.hidden = true;
}

export const current = () => shown;

function choose(name) {
  for (const [tab, body] of [["list", list], ["json", json]]) {
    document.getElementById(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
    body.hidden = tab !== name;
  }
}

function asText() {
  if (!json.hidden) return JSON.stringify(shown, null, 2);
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

document.getElementById("tab-list").addEventListener("click", () => choose("list"));
document.getElementById("tab-json").addEventListener("click", () => choose("json"));
document.getElementById("copy").addEventListener("click", (event) => copy(event.currentTarget, asText()));
