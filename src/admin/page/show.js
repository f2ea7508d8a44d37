// How things are shown. Data comes in by text nodes only: nothing here takes markup.

const by = (id) => document.getElementById(id);

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** An element; `set` holds attributes, and under `on` what is called on a click. */
function el(name, set = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(set)) {
    if (key === "on") node.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  return fill(node, children);
}

function svg(name, set = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(set)) node.setAttribute(key, value);
  return fill(node, children);
}

/** Sets a text, but leaves the same one alone: a reader's selection and place stay. */
function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Draws a part of the page anew if what it shows has changed. */
const painted = new Map();
function paint(id, data, draw) {
  const now = JSON.stringify(data);
  if (painted.get(id) === now) return;
  painted.set(id, now);
  by(id).replaceChildren(...[draw()].flat(Infinity).filter(Boolean));
}

const plain = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const count = (number) => (number < 100000 ? plain.format(number) : compact.format(number));
const counted = (number, one, many) => `${plain.format(number)} ${number === 1 ? one : many}`;

/** Rounded down: what is not all is never said to be all. */
const percent = (ratio) => `${(Math.floor(ratio * 1000) / 10).toFixed(ratio >= 1 ? 0 : 1)} %`;

function perSecond(rate) {
  if (rate === 0) return "0";
  return rate >= 100 ? count(Math.round(rate)) : rate >= 10 ? rate.toFixed(1) : rate < 0.01 ? "< 0.01" : rate.toFixed(2);
}

/** Dollars out of a decimal text: three figures of what is less than one. */
function dollars(text) {
  const value = Number(text);
  const size = Math.abs(value);
  const cents = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  const shown = size === 0 ? "0" : size < 0.000001 ? "0.000001" : size < 1 ? size.toPrecision(3) : size.toLocaleString("en", cents);
  return `${value < 0 ? "−" : ""}$${shown}`;
}

/** The same for a column of them: as many places for all as the greatest needs. */
function dollarsAlike(texts) {
  const most = Math.max(0, ...texts.map((text) => Math.abs(Number(text))));
  const places = most >= 10 ? 2 : most >= 0.1 ? 4 : 6;
  const least = 10 ** -places;
  return (text) => {
    const value = Number(text);
    if (value === 0) return "$0";
    return value < least ? `< $${least.toFixed(places)}` : `$${value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places })}`;
  };
}

/** Seconds, short: of a latency, or of a wait. */
function duration(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${Math.max(1, Math.round(seconds * 1e6))} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  const [[size, unit], [small, name]] = parts.slice(at, at + 2);
  const rest = Math.floor((seconds % size) / small);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${name}` : ""}`;
}

function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) [size, at] = [size / 1024, at + 1];
  return `${at === 0 ? size : size.toFixed(size < 10 ? 1 : 0)} ${units[at]}`;
}

const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

/** A table: `columns` are [title, class], a row is a list of cells, each a text or nodes; the first is its heading. */
function table(columns, rows) {
  const head = columns.map(([title, kind]) => el("th", { scope: "col", class: kind }, title));
  const row = (cells) => el("tr", {}, cells.map((cell, at) =>
    at === 0 ? el("th", { scope: "row", class: columns[at][1] }, cell) : el("td", { class: columns[at][1] }, cell)));
  return el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows.map(row)));
}

const empty = (...said) => el("p", { class: "empty" }, said);
const after = (...said) => el("p", { class: "after" }, said);
const pill = (kind, said) => el("span", { class: `pill ${kind}` }, said);

/** A bar of what is used of something. */
function bar(used, all, label) {
  const share = all > 0 ? Math.min(1, used / all) : 1;
  const inside = el("span");
  inside.style.width = `${share * 100}%`;
  const kind = share >= 0.9 ? "bar bad" : share >= 0.7 ? "bar warn" : "bar";
  return el("div", { class: kind, role: "meter", "aria-valuemin": 0, "aria-valuemax": all, "aria-valuenow": Math.min(used, all), "aria-label": label }, inside);
}

/** The outcomes of requests, from the bottom of the chart to its top. */
const OUTCOMES = [
  ["hits", "hit"], ["stale_hits", "stale, refreshed"], ["stale_on_error", "stale, for an error"], ["revalidated", "confirmed by 304"],
  ["collapsed", "shared a fetch"], ["misses", "miss"], ["bypassed", "passed by"], ["only_if_cached", "only-if-cached, none"],
];
const ANSWERED = ["hits", "stale_hits", "stale_on_error", "revalidated", "collapsed"];

const swatch = (name) => el("span", { class: `swatch o-${name}`, "aria-hidden": "true" });
