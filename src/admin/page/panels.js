// The panels, each by what the router says.

const chosen = (caches, space) => caches.filter((cache) => !space || cache.space === space);

function showTiles(stats, costs, space) {
  const caches = chosen(stats.caches, space);
  const total = (name) => caches.reduce((all, cache) => all + (cache[name] ?? 0), 0);
  const [requests, answered, passed] = [total("requests"), total("answered"), total("bypassed")];
  const asked = requests - passed;
  text(by("hit-rate"), asked ? percent(answered / asked) : "–");
  text(by("hit-rate-of"), asked ? `${count(answered)} of ${count(asked)}${passed ? `; ${count(passed)} passed by` : ""}` : "no requests yet");
  const recent = steps(space);
  const latest = recent.at(-1);
  text(by("rate"), latest ? `${perSecond(latest.rate)} /s` : "–");
  text(by("rate-of"), `${counted(requests, "request", "requests")} in ${duration(stats.uptime)}`);
  if (!costs?.counted) {
    for (const id of ["saved", "spent"]) text(by(id), "–");
    text(by("saved-of"), costs ? "no ledger is given to the router" : "");
    text(by("spent-of"), "");
    return;
  }
  const of = space ? costs.spaces.find((row) => row.space === space) : costs.total;
  const sums = of ?? { saved_usd: "0", spent_usd: "0", overhead_nano_usd: 0, unknown: 0, requests: 0, net_usd: "0" };
  for (const [id, usd] of [["saved", sums.saved_usd], ["spent", sums.spent_usd]]) {
    text(by(id), dollars(usd));
    by(id).title = `$${usd}`;
  }
  text(by("saved-of"), sums.overhead_nano_usd ? `${dollars(sums.net_usd)} without what refreshes cost` : "by answers not bought again");
  text(by("spent-of"), sums.unknown ? `${counted(sums.unknown, "answer is", "answers are")} in neither sum` : "on answers that were");
}

/** The percentiles that a space says, such as p50 and p999, the smallest first. */
const digits = (name) => name.match(/^p(\d+)/)[1];
const percentiles = (figures) => Object.keys(figures).filter((name) => /^p\d+(_seconds)?$/.test(name))
  .sort((a, b) => Number(`0.${digits(a)}`) - Number(`0.${digits(b)}`));
const percentileName = (name) => `p${digits(name).slice(0, 2)}${digits(name).length > 2 ? `.${digits(name).slice(2)}` : ""}`;

const latency = (seconds) => (seconds >= 60 ? `${plain.format(Math.round(seconds))} s` : duration(seconds));

const LATENCY_COLOURS = { hit: "hits", stale: "stale_hits", stale_hit: "stale_hits", stale_on_error: "stale_on_error", revalidated: "revalidated",
  collapsed: "collapsed", coalesced: "collapsed", miss: "misses", bypass: "bypassed", bypassed: "bypassed" };
const colourOf = (outcome) => LATENCY_COLOURS[outcome] ?? (OUTCOMES.some(([name]) => name === outcome) ? outcome : "other");

function showLatency(stats, space) {
  const caches = chosen(stats.caches, space).filter((cache) => cache.latency && Object.values(cache.latency).some((of) => of.count > 0));
  paint("latency", caches.map((cache) => [cache.space, cache.latency]), () => {
    if (caches.length === 0) return empty("No figures yet.");
    const rows = caches.map((cache) => [cache.space, Object.entries(cache.latency).filter(([, of]) => of.count > 0)]);
    const names = percentiles(rows[0][1][0][1]);
    const values = rows.flatMap(([, outcomes]) => outcomes.flatMap(([, of]) => names.map((name) => of[name]))).filter((value) => value > 0);
    const [low, high] = values.length ? [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)) + 0.001)] : [-3, 0];
    const end = (power) => (power >= 0 ? `${10 ** power} s` : duration(10 ** power));
    const scale = `${end(low)} – ${end(high)}`;
    const columns = [["Outcome", null], ["answers", "n more"], ...names.map((name) => [percentileName(name), "n"]), [scale, "more scale"]];
    return rows.map(([name, outcomes]) => [
      caches.length > 1 && el("h3", {}, name),
      table(columns, outcomes.map(([outcome, of]) => [
        el("span", { class: "words" }, swatch(colourOf(outcome)), outcome.replaceAll("_", " ")), count(of.count), ...names.map((name) => latency(of[name])),
        range(names.map((name) => of[name]), low, high, colourOf(outcome))])),
    ]);
  });
}

/** Percentiles as points on a line whose scale is logarithmic. */
function range(values, low, high, colour) {
  const x = (value) => 5 + ((Math.log10(Math.max(value, 10 ** low)) - low) / Math.max(1, high - low)) * 110;
  return svg("svg", { class: "range", viewBox: "0 0 120 16", "aria-hidden": "true" },
    svg("line", { class: "rail", x1: 5, x2: 115, y1: 8, y2: 8 }),
    svg("line", { x1: x(values[0]), x2: x(values.at(-1)), y1: 8, y2: 8 }),
    values.map((value, at) => svg("circle", { class: `o-${colour}`, cx: x(value), cy: 8, r: at === 0 ? 4.5 : 3 })));
}

const MONEY = { models: ["Model", "model"], reasons: ["Reason", null], spaces: ["Space", "space"], tenants: ["Tenant", "tenant"] };

function showMoney(costs, kind) {
  by("money-choice").hidden = !costs?.counted;
  paint("money", [costs, kind], () => {
    if (!costs) return empty("No figures yet.");
    if (!costs.counted) return empty("Nobody counts money here: give the router a ledger, with Builder::ledger.");
    const [title, name] = MONEY[kind];
    const rows = name ? costs[kind].map((sums) => [sums[name], sums]) : Object.entries(costs.reasons);
    if (rows.length === 0) return empty(kind === "tenants" ? "The ledger knows no tenants." : "Nothing was saved or spent yet.");
    const shown = rows.slice(0, 8), rest = rows.length - shown.length + (costs.left_out[kind] ?? 0);
    const alike = dollarsAlike(shown.flatMap(([, sums]) => [sums.saved_usd, sums.spent_usd]));
    const money = (usd) => el("span", { title: `$${usd}` }, alike(usd));
    return [
      table([[title, null], ["answers", "n more"], ["saved", "n"], ["spent", "n"], ["unknown", "n"]], shown.map(([of, sums]) =>
        [of || "(none named)", count(sums.requests), money(sums.saved_usd), money(sums.spent_usd), count(sums.unknown)])),
      (rest > 0 || costs.prices_as_of) && after(rest > 0 && `${counted(rest, "more is", "more are")} in api/cache/costs. `,
        costs.prices_as_of && `Prices are as of ${costs.prices_as_of}.`),
    ];
  });
}

/** Of tiers and of upstreams, which are written otherwise. */
const HALF_OPEN = ["warn", "half-open"];
const STATES = { closed: ["good", "closed"], open: ["bad", "open"], "half-open": HALF_OPEN, half_open: HALF_OPEN };
const state = (name) => pill(...(STATES[name] ?? ["none", name]));

function showStores(health, space) {
  const spaces = health ? chosen(health.spaces, space) : null;
  paint("stores", spaces, () => {
    if (!spaces) return empty("No figures yet.");
    if (spaces.length === 0) return empty("There is no cache.");
    return spaces.map((of) => [
      spaces.length > 1 && el("h3", {}, of.space),
      of.tiers.map((tier) => el("div", { class: "tier" },
        el("div", { class: "tier-head" }, el("strong", {}, tier.name), pill(tier.status === "up" ? "good" : "bad", tier.status),
          tier.state && tier.state !== "closed" && [el("span", { class: "muted small" }, "breaker"), state(tier.state)],
          el("span", { class: "muted small" }, [tier.latency !== null && `answers in ${duration(tier.latency)}`, tier.version && `version ${tier.version}`].filter(Boolean).join(", "))),
        tier.error && el("p", { class: "problem" }, tier.error),
        tier.usage && tier.usage.capacity && bar(tier.usage.bytes, tier.usage.capacity, `Memory of ${tier.name}`),
        tier.usage && el("p", { class: "muted small" }, `${counted(tier.usage.entries, "entry", "entries")}, ${bytes(tier.usage.bytes)}`,
          tier.usage.capacity ? ` of ${bytes(tier.usage.capacity)}` : "", tier.usage.evictions ? `, ${count(tier.usage.evictions)} evicted` : ""))),
    ]);
  });
}

/** Those that need looking at come first. */
const isOpen = ({ breaker }) => Number(Boolean(breaker) && breaker.state !== "closed");

function showUpstreams(stats) {
  const layers = stats.retries;
  paint("upstreams", layers, () => {
    if (layers.length === 0) return empty("There is no layer that retries.");
    return layers.map((layer) => {
      const fallbacks = (layer.fallback_stale ?? 0) + (layer.fallback_upstream ?? 0) + (layer.fallback_default ?? 0);
      const failed = (layer.problems ?? 0) + (layer.handed_on ?? 0);
      return [
        layers.length > 1 && el("h3", {}, layer.name),
        layer.upstreams.length === 0 ? empty("No upstream was asked yet.")
          : table([["Upstream", null], ["breaker", null], ["opened", "n more"], ["refused", "n"], ["failed", "n"]], [...layer.upstreams].sort((a, b) => isOpen(b) - isOpen(a)).map(({ name, breaker }) =>
            [name, breaker ? state(breaker.state) : "none", count(breaker?.opened ?? 0), count(breaker?.refused ?? 0), count(breaker?.failures ?? 0)])),
        after(`${counted(layer.attempts, "attempt", "attempts")} for ${counted(layer.requests, "request", "requests")}: `,
          `${counted(layer.retries, "retry", "retries")}, ${count(layer.retried_successfully)} recovered, ${counted(fallbacks, "fallback", "fallbacks")}, ${count(failed)} failed.`),
      ];
    });
  });
}

function showEmbeddings(stats) {
  const layers = stats.embeddings;
  by("embeddings-panel").hidden = layers.length === 0;
  paint("embeddings", layers, () => layers.map((of) => {
    const texts = of.items_hit + of.items_shared + of.items_missed;
    return [
      layers.length > 1 && el("h3", {}, of.name),
      table([["Texts", null], ["in all", "n"], ["share", "n"]], [["kept", of.items_hit], ["shared a fetch", of.items_shared], ["asked for", of.items_missed]].map(
        ([name, number]) => [name, count(number), texts ? percent(number / texts) : "–"])),
      after(`${counted(of.requests, "request", "requests")}: ${count(of.hits)} wholly kept, ${count(of.partial)} in part.`),
    ];
  }));
}

function showLookups(stats) {
  const caches = stats.lookups;
  by("lookups-panel").hidden = caches.length === 0;
  paint("lookups", caches, () => table([["Space", null], ["look-ups", "n"], ["kept", "n"], ["loads", "n"], ["failed", "n more"]], caches.map((of) =>
    [of.space, count(of.lookups), of.hit_ratio === null ? "–" : percent(of.hit_ratio), count(of.loads), count(of.load_errors + of.loads_unfinished)])));
}

/** A hash is as good by its beginning, for people. */
const subject = (said) => (/#[0-9a-f]{32}$/.test(said) ? `${said.slice(0, said.indexOf("#") + 9)}…` : said);

function showLimits(limits) {
  const layers = limits?.limits ?? null;
  paint("limits", layers, () => {
    if (!layers) return empty("No figures yet.");
    if (layers.length === 0) return empty("There are no limits.");
    return layers.map((layer) => {
      const units = Object.fromEntries(layer.policies.map((policy) => [policy.name, policy.unit]));
      const denied = layer.policies.reduce((all, policy) => all + policy.denied, 0);
      return [
        layers.length > 1 && el("h3", {}, layer.name),
        layer.error && el("p", { class: "problem" }, `The limiter doesn't answer: ${layer.error}. What is shown is as it was last seen.`),
        layer.nearest.length === 0 ? empty("Nobody has used anything lately.")
          : table([["Whose", null], ["used", null], ["left", "n"], ["more in", "n"]], layer.nearest.slice(0, 8).map((near) => [
            [el("span", { title: near.subject, class: near.subject.includes("#") ? "id" : null }, subject(near.subject)),
              el("div", { class: "muted small" }, near.policy, near.shadow && " (watched)")],
            [bar(near.used, near.amount, `Used by ${near.subject} of ${near.policy}`), el("span", { class: "muted small" }, `${count(near.used)} of ${count(near.amount)} ${units[near.policy] ?? ""}`)],
            count(near.remaining), near.refill > 0 ? duration(Math.ceil(near.refill)) : "–"])),
        after(layer.policies.map((policy) => `${policy.name}: ${count(policy.amount)} ${policy.unit}${policy.window ? ` in ${duration(policy.window)}` : ""}`).join("; "), `. ${counted(denied, "request was", "requests were")} denied.`),
      ];
    });
  });
}

function showLabels(listing, purgeLabel) {
  paint("labels", listing, () => {
    if (!listing) return empty("No figures yet.");
    if (listing.problem) return empty(listing.problem);
    if (listing.labels.length === 0) return empty("Nothing is kept.");
    return [
      table([["Label", null], ["hits", "n"], ["entries", "n"], ["size", "n"], ["", "n"]], listing.labels.slice(0, 8).map((of) => [
        of.label, of.hits === null ? "–" : count(of.hits), count(of.entries), bytes(of.size),
        el("button", { type: "button", class: "link", "aria-label": `Purge ${of.label}`, on: () => purgeLabel(of.label) }, "purge")])),
      after(listing.whole ? `Of ${counted(listing.seen, "entry", "entries")}` : `Of the first ${plain.format(listing.seen)} entries`, `, at ${clock(listing.time)}. Hits are of this process.`),
    ];
  });
}
