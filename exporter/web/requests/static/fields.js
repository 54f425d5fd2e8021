// The fields of a request: what they are called, and how their values read.

import { isLocal } from "./filters.js";
import { count, duration, time } from "./text.js";

const LABELS = {
  request_id: "Request ID", start_time: "Started", model: "Model asked for",
  response_model: "Model that answered", total_tokens: "Tokens", time_to_first_token_ms: "TTFT",
  latency_ms: "Latency", status_code: "Status", upstream_time_ms: "Upstream time",
  trace_id: "Trace ID", cache_hit: "From cache", key: "Key in this log",
};

export function label(name) {
  if (name.startsWith("attribute.")) return name.slice("attribute.".length);
  return LABELS[name] ?? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");
}

// Null stays null: it was not reported.
export function reading(name, value) {
  if (value === null || value === undefined) return null;
  if (name === "start_time") return time(value, isLocal(), true);
  if (name.endsWith("_ms")) return duration(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number" && name !== "status_code") return count(value);
  return value;
}
