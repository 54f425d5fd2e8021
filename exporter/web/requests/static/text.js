// How values are shown. Texts come from clients: characters that cannot be seen, or turn a text
// around, are shown as their escapes.

const UNKNOWN = "not reported";

export function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${character.codePointAt(0).toString(16)}}`;
  });
}

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text === null || text === undefined) {
    made.textContent = UNKNOWN;
    made.className = "unknown";
  } else {
    made.textContent = visible(String(text));
  }
  if (className) made.classList.add(...className.split(" "));
  return made;
}

export function duration(milliseconds) {
  if (milliseconds === null) return null;
  if (milliseconds < 1000) return `${Number(milliseconds.toPrecision(4))} ms`;
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

export function count(number) {
  return number === null ? null : number.toLocaleString("en", { maximumFractionDigits: 9 });
}

// From RFC 3339 with microseconds; with the zone if `zoned`.
export function time(text, isLocal, zoned) {
  if (!isLocal) return text.replace("T", " ").replace(/(\.\d{3})\d*Z/, zoned ? "$1 UTC" : "$1");
  const date = new Date(text);
  const parts = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const digits = (number) => String(number).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  const shown = `${parts.map(digits).join("-")} ${clock.map(digits).join(":")}.${milliseconds}`;
  return zoned ? `${shown} ${offset(date)}` : shown;
}

export function offset(date) {
  const minutes = -date.getTimezoneOffset();
  const digits = (number) => String(number).padStart(2, "0");
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "-" : "+"}${digits(Math.floor(size / 60))}:${digits(size % 60)}`;
}
