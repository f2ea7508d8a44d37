// Asking the router, again and again.

const PERIOD = 2000;
/** A store that hangs is waited for by the router, too. */
const PATIENCE = 15000;
/** Listing costs a store more than counters do: so many pages are asked for, and the less often the more there are. */
const LABELS_PAGES = 3;
const labelsPeriod = (labels) => (!labels || labels.seen === 0 ? 0 : labels.whole && labels.seen <= 1000 ? 5 * PERIOD : 15 * PERIOD);

const seen = { stats: null, costs: null, health: null, limits: null, labels: null, at: 0 };
let isListing = false;
let [timer, isAsking, isPaused, labelsAt, token] = [null, false, false, 0, null];

/** Where a browser keeps nothing, this page does. */
function keep(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem("larder-admin-token");
    else sessionStorage.setItem("larder-admin-token", value);
  } catch { /* Then it is asked for again after a reload. */ }
}

function kept() {
  try { return sessionStorage.getItem("larder-admin-token"); } catch { return null; }
}

/** Asks the router: `data`, or the `problem` that it says. Paths are relative to where this page is. */
async function ask(path, method = "GET", patience = PATIENCE) {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  let response, said;
  try {
    response = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(patience) });
    said = await response.text();
  } catch (error) {
    return { lost: true, problem: error.name === "TimeoutError" ? "The server does not answer in time." : "The server can't be reached." };
  }
  let body = null;
  try { body = JSON.parse(said); } catch { /* It is none of the router's. */ }
  if (response.status === 401) askForToken(body?.detail);
  // How stores are is said with 503, too, when they are down.
  const isAnswer = body !== null && (response.headers.get("content-type") ?? "").startsWith("application/json");
  if (isAnswer && (response.ok || response.status === 503)) return { data: body };
  return { status: response.status, problem: body?.detail ?? `The server answers ${response.status}, which this page does not understand.` };
}

/** What links lead to takes the token, too, which no browser sends by itself: it comes as a file then. */
async function fetchLink(event) {
  if (token === null) return;
  event.preventDefault();
  const { href, dataset } = event.currentTarget;
  try {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(href, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (response.status === 401) return askForToken();
    const place = URL.createObjectURL(await response.blob());
    el("a", { href: place, download: dataset.file }).click();
    setTimeout(() => URL.revokeObjectURL(place), PATIENCE);
  } catch {
    text(by("notice"), "That can't be fetched now.");
  }
}

function askForToken(detail) {
  const dialog = by("ask");
  if (dialog.open) return;
  text(by("ask-wrong"), token === null ? "" : `That token is refused: ${detail ?? "it is another one"}.`);
  keep(null);
  by("token").value = "";
  dialog.showModal();
  by("token").focus();
}

/** What can be done about the token. */
function showToken() {
  by("forget").hidden = token === null && by("live").dataset.state !== "ask";
  text(by("forget"), token === null ? "Give token" : "Forget token");
}

function say(state, said, notice = "", kind = "") {
  by("live").dataset.state = state;
  text(by("live-text"), said);
  by("notice").dataset.kind = kind;
  text(by("notice"), notice);
  by("figures").toggleAttribute("data-old", state === "lost" || state === "ask");
  showToken();
}

/** One round of questions, and what it says. */
async function poll() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    // By itself, so that a missing token is said once.
    const stats = await ask("api/cache/stats");
    const rest = stats.data ? await Promise.all(["api/cache/costs", "health/cache", "api/limits"].map((path) => ask(path))) : [];
    const answers = [stats, ...rest];
    const [costs, health, limits] = rest;
    if (answers.some((answer) => answer.status === 401)) {
      say("ask", "Waiting for the token");
    } else if (!stats.data) {
      const { problem } = stats;
      const old = seen.at ? ` What is shown is as of ${clock(seen.at)}.` : "";
      say("lost", "Not connected", `${problem}${old} It is tried again every ${PERIOD / 1000} s.`);
    } else {
      Object.assign(seen, { stats: stats.data, costs: costs.data ?? null, health: health.data ?? null, limits: limits.data ?? null, at: Date.now() });
      remember(seen.stats, seen.at);
      const partly = answers.filter((answer) => !answer.data).map((answer) => answer.problem);
      // Somebody may have asked for a pause meanwhile.
      const [state, said] = isPaused ? ["paused", "Paused"] : ["live", `Live, ${clock(seen.at)}`];
      say(state, said, [...new Set(partly)].join(" "), "ask");
      show();
      if (Date.now() - labelsAt >= labelsPeriod(seen.labels)) readLabels();
    }
  } finally {
    isAsking = false;
    later();
  }
}

function later() {
  clearTimeout(timer);
  if (!isPaused && by("live").dataset.state !== "ask" && document.visibilityState === "visible") timer = setTimeout(poll, PERIOD);
}

/** What is kept, by label. */
async function readLabels() {
  if (isListing) return;
  [isListing, labelsAt] = [true, Date.now()];
  const labels = new Map();
  let [path, pages, number, whole] = ["api/cache/entries?limit=1000", 0, 0, true];
  while (path && pages < LABELS_PAGES) {
    const { data, problem, lost } = await ask(path);
    if (!data) {
      if (lost) labelsAt = 0;
      else seen.labels = { problem };
      break;
    }
    for (const entry of data.entries) {
      const of = labels.get(entry.label) ?? { label: entry.label, hits: null, entries: 0, size: 0 };
      if (entry.hits !== null) of.hits = (of.hits ?? 0) + entry.hits;
      labels.set(entry.label, { ...of, entries: of.entries + 1, size: of.size + entry.size });
    }
    [pages, number, whole] = [pages + 1, number + data.entries.length, !data.next];
    path = data.next && `api/cache/entries?limit=1000&cursor=${data.next}`;
  }
  isListing = false;
  if (pages > 0) {
    const most = [...labels.values()].sort((a, b) => (b.hits ?? 0) - (a.hits ?? 0) || b.entries - a.entries || b.size - a.size);
    seen.labels = { labels: most, seen: number, whole, time: labelsAt };
  }
  showLabels(seen.labels, purgeLabel);
}

function show() {
  const { stats, costs, health, limits, labels, at } = seen;
  if (!stats) return;
  const names = stats.caches.map((cache) => cache.space);
  choose(by("space"), names, "all");
  choose(by("purge-space"), names, "all spaces");
  by("space-choice").hidden = names.length < 2;
  const space = by("space").value;
  text(by("about"), `${stats.version}, up ${duration(Math.floor(stats.uptime))}`);
  showTiles(stats, costs, space);
  drawChart(space, at);
  showLatency(stats, space);
  showMoney(costs, by("money-by").value);
  showStores(health, space);
  showUpstreams(stats);
  showLimits(limits);
  showEmbeddings(stats);
  showLookups(stats);
  showLabels(labels, purgeLabel);
}

/** Offers names, and keeps what is chosen. */
function choose(select, names, all) {
  const wanted = ["", ...names];
  if (wanted.length === select.options.length && wanted.every((name, at) => select.options[at].value === name)) return;
  const before = select.value;
  select.replaceChildren(...wanted.map((name) => el("option", { value: name }, name || all)));
  select.value = wanted.includes(before) ? before : "";
}

function resume() {
  if (!isPaused && document.visibilityState === "visible") poll();
  else clearTimeout(timer);
}

by("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  by("pause").setAttribute("aria-pressed", isPaused);
  if (isPaused) say("paused", "Paused");
  resume();
});
for (const id of ["openapi", "metrics"]) by(id).addEventListener("click", fetchLink);
by("forget").addEventListener("click", () => { keep(null); poll(); });
by("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = by("token").value.trim();
  if (value === "") return;
  keep(value);
  by("token").value = "";
  by("ask").close();
});
// Without a token there is nothing to wait for, and a button to give one.
by("ask").addEventListener("close", () => token !== null && resume());
by("space").addEventListener("change", show);
by("money-by").addEventListener("change", show);
by("purge").addEventListener("submit", purge);
for (const radio of document.querySelectorAll("#purge input[name=kind]")) radio.addEventListener("change", sayPurge);
by("chart").addEventListener("pointermove", (event) => { pointAt(event); drawChart(by("space").value, seen.at); });
by("chart").addEventListener("pointerleave", () => { pointed = null; drawChart(by("space").value, seen.at); });
document.addEventListener("visibilitychange", resume);
new ResizeObserver(() => seen.stats && drawChart(by("space").value, seen.at)).observe(by("chart").parentElement);
token = kept();
sayPurge();
resume();
