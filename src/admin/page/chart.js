// What was seen in the polls so far, and its picture.

/** The counters of each poll, of each space; kept in this page only. */
const polls = [];
const WINDOW = 300;

/** How much of that is shown, in seconds: a page that was just opened has little to show. */
const shownFor = (end) => [60, 120].find((span) => polls.length && end - polls[0].time <= span * 1000) ?? WINDOW;
let pointed = null;

/** Remembers a poll. Counters that went back are those of a process that began anew. */
function remember(stats, time) {
  const spaces = Object.fromEntries(stats.caches.map((cache) => [cache.space, Object.fromEntries(OUTCOMES.map(([name]) => [name, cache[name] ?? 0]))]));
  const last = polls.at(-1);
  if (last && stats.uptime < last.uptime) polls.length = 0;
  polls.push({ time, uptime: stats.uptime, spaces });
  while (polls.length > 2 && polls[1].time < time - WINDOW * 1000) polls.shift();
}

const sum = (spaces, name, space) =>
  Object.entries(spaces).reduce((all, [of, counters]) => (space && of !== space ? all : all + counters[name]), 0);

/** What happened between each two polls, in requests per second. */
function steps(space) {
  return polls.slice(1).map((poll, at) => {
    const before = polls[at];
    const seconds = Math.max(0.001, (poll.time - before.time) / 1000);
    const counts = Object.fromEntries(OUTCOMES.map(([name]) => [name, Math.max(0, sum(poll.spaces, name, space) - sum(before.spaces, name, space))]));
    const all = OUTCOMES.reduce((total, [name]) => total + counts[name], 0);
    const asked = all - counts.bypassed;
    const answered = ANSWERED.reduce((total, name) => total + counts[name], 0);
    return { from: before.time, to: poll.time, counts, rate: all / seconds, ratio: asked > 0 ? answered / asked : null, seconds };
  });
}

/** The next round number that is not less. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999) ?? value;
}

function drawChart(space, end) {
  const node = by("chart");
  const width = Math.max(240, node.clientWidth || 600), height = node.clientHeight || 200;
  const [left, right, top, bottom] = [38, 2, 8, 20];
  const span = shownFor(end), all = steps(space), begin = end - span * 1000;
  const most = ceiling(Math.max(1, ...all.map((step) => step.rate)));
  const x = (time) => left + Math.max(0, (time - begin) / (end - begin)) * (width - left - right);
  const y = (rate) => height - bottom - (rate / most) * (height - top - bottom);
  const parts = [0, 0.5, 1].map((share) => svg("g", {},
    svg("line", { class: "grid", x1: left, x2: width - right, y1: y(most * share), y2: y(most * share) }),
    svg("text", { x: left - 6, y: y(most * share) + 4, "text-anchor": "end" }, most * share >= 1000 ? compact.format(most * share) : most * share)));
  const floors = all.map(() => 0);
  for (const [name] of OUTCOMES) {
    const path = all.map((step, at) => {
      const rate = step.counts[name] / step.seconds;
      const [low, high] = [floors[at], floors[at] + rate];
      floors[at] = high;
      return rate > 0 && step.to > begin ? `M${x(step.from).toFixed(1)} ${y(low).toFixed(1)}V${y(high).toFixed(1)}H${x(step.to).toFixed(1)}V${y(low).toFixed(1)}Z` : "";
    }).join("");
    if (path) parts.push(svg("path", { class: `o-${name}`, d: path }));
  }
  const mark = (time, said, anchor) => svg("text", { x: x(time), y: height - 5, "text-anchor": anchor }, said);
  parts.push(mark(begin, `${duration(span)} ago`, "start"), mark((begin + end) / 2, duration(span / 2), "middle"), mark(end, "now", "end"));
  const shown = pointed === null ? null : all.find((step) => pointed >= step.from && pointed < step.to) ?? null;
  if (shown) parts.push(svg("line", { class: "at", x1: x(shown.to), x2: x(shown.to), y1: top, y2: height - bottom }));
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.replaceChildren(...parts);
  const latest = all.at(-1);
  const said = latest ? OUTCOMES.filter(([name]) => latest.counts[name] > 0).map(([name, title]) => `${title} ${perSecond(latest.counts[name] / latest.seconds)}`) : [];
  node.setAttribute("aria-label", `Requests per second in the last five minutes, by outcome. Now: ${said.join(", ") || "none"}.`);
  text(by("chart-note"), polls.length ? `Requests per second, as this page has seen them since ${clock(polls[0].time)}.` : "");
  drawLegend(space, shown ?? latest, shown !== null);
  drawLine(all);
}

/** The same in words: now, or where the chart is pointed at. */
function drawLegend(space, step, isPointed) {
  const last = polls.at(-1);
  if (!last) return;
  const totals = OUTCOMES.map(([name, title]) => [name, title, sum(last.spaces, name, space)]);
  const all = totals.reduce((total, [, , number]) => total + number, 0);
  text(by("outcomes-when"), isPointed ? `at ${clock(step.to)}` : "per second");
  const rows = totals.map(([name, title, number]) => el("tr", { class: number ? null : "none" },
    el("th", { scope: "row" }, el("span", { class: "words" }, swatch(name), title)),
    el("td", { class: "n" }, step ? perSecond(step.counts[name] / step.seconds) : "–"),
    el("td", { class: "n", title: plain.format(number) }, count(number)),
    el("td", { class: "n" }, all ? percent(number / all) : "–")));
  document.querySelector("#outcomes tbody").replaceChildren(...rows);
}

/** The hit rate of the last five minutes, as a line. */
function drawLine(all) {
  const points = all.filter((step) => step.ratio !== null).slice(-60);
  const node = by("hit-line");
  const d = points.map((step, at) => `${at ? "L" : "M"}${((at / Math.max(1, points.length - 1)) * 100).toFixed(1)} ${(38 - step.ratio * 36).toFixed(1)}`).join("");
  node.setAttribute("viewBox", "0 0 100 40");
  node.setAttribute("preserveAspectRatio", "none");
  node.replaceChildren(...(points.length > 1 ? [svg("path", { d, "vector-effect": "non-scaling-stroke" })] : []));
}

/** Where of the chart a pointer is, as a time. */
function pointAt(event) {
  const box = by("chart").getBoundingClientRect();
  const last = polls.at(-1);
  if (!last || box.width <= 40) return;
  const share = (event.clientX - box.left - 38) / (box.width - 40);
  pointed = last.time - (1 - Math.min(1, Math.max(0, share))) * shownFor(last.time) * 1000 - 1;
}
