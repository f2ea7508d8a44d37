// The dashboard in a real browser. Takes what to look at, and a JSON object: { url, site, token }.
//
// The page is asked for through a relay of its own, which can be cut. Whatever the browser complains of, and whatever it asks of
// anybody else, fails the run.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const [, , scene, given, program] = process.argv;
const { url, site, token } = JSON.parse(given);

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

/** A way to the server that can be cut, and mended. */
async function relay(to) {
  const { hostname, port } = new URL(to);
  const sockets = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => { sockets.delete(one); other.destroy(); });
      one.pipe(other);
    }
  });
  const listen = (at) => new Promise((resolve, reject) => server.once("error", reject).listen(at, "127.0.0.1", resolve));
  await listen(0);
  const own = server.address().port;
  return {
    url: `http://127.0.0.1:${own}/`,
    cut: () => new Promise((resolve) => { server.close(resolve); for (const socket of sockets) socket.destroy(); }),
    mend: () => listen(own),
    end: () => { server.close(); for (const socket of sockets) socket.destroy(); },
  };
}

/** Waits until something is so; what waits is bounded by the test that runs this. */
async function until(what, is) {
  const end = Date.now() + 30000;
  for (;;) {
    const was = await is();
    if (was) return was;
    assert.ok(Date.now() < end, `it never came about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const ask = async (path) => (await fetch(new URL(path, site))).text();
const words = (page, id) => page.locator(`#${id}`).innerText();
const said = (page, id, part) => until(`#${id} says ${part}`, async () => (await words(page, id)).includes(part));

/** The contrast of every text that is seen with what lies behind it, by WCAG 2; those that have less than they should. */
const faint = (page) => page.evaluate(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("script, svg")) continue;
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${texts.currentNode.textContent.trim()}`);
  }
  return found;
});

/** Fills the page with as much as it may have to hold: long names, large numbers, and figures of every outcome. */
async function crowd(page) {
  const long = (kind) => `${kind}-${"with-a-long-name".repeat(5)}`;
  const change = (path, how) => page.route(`**/${path}*`, async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    how(json);
    await route.fulfill({ response, json });
  });
  await change("api/cache/stats", (stats) => {
    const outcomes = ["hit", "stale_hit", "stale_on_error", "revalidated", "collapsed", "miss", "bypass", "only_if_cached"];
    const times = { count: 99999, p50: 0.000999, p90: 0.516, p99: 0.999, p999: 3599 };
    for (const cache of stats.caches) cache.latency = Object.fromEntries(outcomes.map((outcome) => [outcome, times]));
    for (const retry of stats.retries) for (const upstream of retry.upstreams) upstream.name = `${long("upstream")}:443 ${long("model")}`;
    Object.assign(stats.caches[0], { misses: 123456789, stale_on_error: 98765 });
  });
  await change("api/cache/costs", (costs) => {
    for (const row of costs.models) Object.assign(row, { model: long("model"), saved_usd: "1234567.123456789", spent_usd: "0.000000001", unknown: 99999 });
    Object.assign(costs.total, { saved_usd: "1234567.123456789", spent_usd: "98765.4" });
  });
  await change("api/limits", (limits) => {
    for (const layer of limits.limits) for (const near of layer.nearest) Object.assign(near, { subject: long("org:"), policy: long("limit"), used: 9999999, amount: 10000000, remaining: 1 });
  });
  await change("api/cache/entries", (page) => { for (const entry of page.entries) Object.assign(entry, { label: long("chat:"), hits: 99999, size: 1e12 }); });
}

const scenes = {
  async renders({ page }) {
    await said(page, "hit-rate-of", "3 of 5");
    assert.equal(await words(page, "saved"), "$0.00700");
    assert.equal(await words(page, "spent"), "$0.00350");
    assert.match(await words(page, "money"), /m\s+3\s+\$0\.007000\s+\$0\.003500\s+0/);
    assert.match(await words(page, "stores"), /memory\s*up[^]*4 entries|memory\s*up[^]*1 entry/);
    assert.match(await words(page, "upstreams"), /upstream\.example\s+closed[^]*0 fallbacks, 0 failed\./);
    assert.match(await words(page, "embeddings"), /kept\s+1\s+20\.0 %[^]*asked for\s+4/);
    assert.match(await words(page, "lookups"), /users\s+2\s+50\.0 %\s+1\s/);
    assert.match(await words(page, "limits"), /key#[0-9a-f]{8}…\s+keys\s+9 of 10 requests\s+1\s/);
    await until("labels are listed", async () => /get:\S+\/a\s+3\s+1/.test(await words(page, "labels")));
    assert.match(await words(page, "latency"), /p50[^]*p99\.9[^]*hit\s+3\s[^]*miss\s+1\s/);
    await page.locator("#money-by").selectOption("reasons");
    assert.match(await words(page, "money"), /hit\s+2\s+\$0\.007/);
    await page.locator("#space").selectOption("default");
    assert.equal(await words(page, "hit-rate"), "75.0 %");
    assert.match(await words(page, "outcomes"), /hit\s+\S+\s+3\s+75\.0 %/);
    // What a client named is text, whatever is in it.
    await page.locator("#money-by").selectOption("tenants");
    assert.match(await words(page, "money"), /<img src=x>\s+1/);
    assert.equal(await page.locator("main img, main script, main b").count(), 0);
  },

  async updates({ page }) {
    await said(page, "hit-rate-of", "3 of 4");
    await page.evaluate(() => { window.isTheSame = true; });
    for (let time = 0; time < 6; time += 1) await ask("/a");
    await said(page, "hit-rate-of", "9 of 10");
    await until("the chart has something in it", async () => (await page.locator("#chart path.o-hits").count()) === 1);
    assert.match(await page.locator("#chart").getAttribute("aria-label"), /by outcome\. Now: /);
    assert.equal(await page.evaluate(() => window.isTheSame), true, "without a reload");
    await page.getByRole("button", { name: "Pause" }).click();
    assert.equal(await page.getByRole("button", { name: "Pause" }).getAttribute("aria-pressed"), "true");
    assert.equal(await words(page, "live-text"), "Paused");
  },

  async purges({ page }) {
    await said(page, "hit-rate-of", "of");
    await page.getByLabel("Tag", { exact: true }).first().check();
    await page.locator("#purge-value").fill("page");
    await page.keyboard.press("Enter");
    const dialog = page.locator("#confirm");
    await dialog.waitFor();
    assert.match(await dialog.innerText(), /Entries with the tag “page” in all spaces will be removed/);
    await said(page, "confirm-count", "3 entries match now");
    assert.equal(await page.evaluate(() => document.activeElement.id), "confirm-no", "it takes more than one key");
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await words(page, "purged"), "", "what was not meant is not removed");
    assert.match(await words(page, "stores"), /3 entries/);
    await page.getByRole("button", { name: "Purge…" }).click();
    await dialog.getByRole("button", { name: "Purge" }).click();
    await said(page, "purged", "3 entries were removed");
    await until("the stores are empty", async () => /\b0 entries/.test(await words(page, "stores")));
    await said(page, "labels", "Nothing is kept");

    await page.locator("#purge-value").fill("  ");
    await page.getByRole("button", { name: "Purge…" }).click();
    await said(page, "purged", "Say which tag is meant");
    await page.getByLabel("Key", { exact: true }).check();
    await page.locator("#purge-value").fill("nonsense");
    await page.getByRole("button", { name: "Purge…" }).click();
    await said(page, "purged", "64 hexadecimal digits");
    await dialog.waitFor({ state: "hidden" });
    await ask("/a");
    await page.getByLabel("Everything").check();
    assert.equal(await page.locator("#purge-value").isVisible(), false);
    await page.locator("#purge-space").selectOption("default");
    await page.getByRole("button", { name: "Purge…" }).click();
    assert.match(await dialog.innerText(), /All entries in the space “default” will be removed/);
    await dialog.getByRole("button", { name: "Purge everything" }).click();
    await said(page, "purged", "1 entry was removed");
    return { complaints: /status of 400/ };
  },

  async token({ page, open }) {
    const dialog = page.locator("#ask");
    await dialog.waitFor();
    await page.getByLabel("Token", { exact: true }).last().fill("another");
    await page.keyboard.press("Enter");
    await said(page, "ask-wrong", "the token is another one");
    assert.equal(await page.locator("#token").inputValue(), "", "what was wrong is gone");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await said(page, "live", "Waiting for the token");
    await page.getByRole("button", { name: "Give token" }).click();
    await page.locator("#token").fill(token);
    await page.getByRole("button", { name: "Show figures" }).click();
    await said(page, "hit-rate-of", "3 of 4");
    const kept = await page.evaluate(() => ({ local: { ...localStorage }, cookie: document.cookie, session: Object.values(sessionStorage), place: location.href, text: document.documentElement.outerHTML }));
    assert.deepEqual([kept.local, kept.cookie, kept.session], [{}, "", [token]]);
    assert.ok(!kept.place.includes(token) && !kept.text.includes(token));
    await page.reload();
    await said(page, "hit-rate-of", "3 of 4");
    const link = page.getByRole("link", { name: "Prometheus metrics" });
    const [file] = await Promise.all([page.waitForEvent("download"), link.click()]);
    assert.match(readFileSync(await file.path(), "utf8"), /^larder_build_info/m);
    assert.equal(file.suggestedFilename(), "larder-metrics.txt");
    const other = await open();
    await other.locator("#ask").waitFor();
    await page.getByRole("button", { name: "Forget token" }).click();
    await dialog.waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    return { complaints: /status of 401/ };
  },

  async recovers({ page, way }) {
    await said(page, "hit-rate-of", "3 of 4");
    await way.cut();
    await said(page, "notice", "can't be reached");
    assert.match(await words(page, "notice"), /as of \d\d:\d\d:\d\d/);
    await said(page, "live", "Not connected");
    assert.equal(await words(page, "hit-rate-of"), "3 of 4", "what was seen stays");
    await ask("/a");
    await way.mend();
    await said(page, "hit-rate-of", "4 of 5");
    await said(page, "live", "Live");
    assert.equal(await words(page, "notice"), "");
    return { complaints: /ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|CONNECTION_CLOSED|SOCKET_NOT_CONNECTED)/ };
  },

  async looks({ page }) {
    await said(page, "hit-rate-of", "3 of 4");
    await crowd(page);
    for (const part of ["latency", "limits", "money", "labels", "upstreams"]) {
      await until(`${part} is crowded`, async () => /with-a-long-name|3,?599|59 min/.test(await words(page, part)));
    }
    const grounds = [];
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const width of [1280, 800, 390]) {
        await page.setViewportSize({ width, height: 844 });
        const wide = await page.evaluate(() => [document.documentElement.scrollWidth - document.documentElement.clientWidth, [...document.querySelectorAll("main *")]
          .filter((node) => node.checkVisibility() && !node.closest("svg") && node.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5).map((node) => node.outerHTML.slice(0, 80))]);
        assert.deepEqual(wide, [0, []], `${width} px wide, nothing is beyond`);
        const tables = await page.evaluate(() => [...document.querySelectorAll("main table")].filter((table) => table.offsetWidth > table.parentElement.clientWidth).map((table) => table.innerText));
        assert.deepEqual(tables, [], `${width} px wide, no table is wider than its place`);
      }
      assert.deepEqual(await faint(page), [], colorScheme);
      await page.getByLabel("Everything").check();
      await page.getByRole("button", { name: "Purge…" }).click();
      assert.deepEqual(await faint(page), [], `the dialog, ${colorScheme}`);
      await page.keyboard.press("Escape");
      grounds.push(await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].join()));
    }
    assert.notEqual(grounds[0], grounds[1], "dark looks other than light");
    // All that can be used is reached by keys, and has a name.
    const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select, a")].filter((node) => node.checkVisibility() &&
      !(node.labels?.length || node.textContent.trim() || node.getAttribute("aria-label"))).map((node) => node.outerHTML));
    assert.deepEqual(nameless, []);
  },
};

const directory = mkdtempSync(join(tmpdir(), "larder-dashboard-"));
const way = await relay(url);
let context;
try {
  const viewport = { width: 1280, height: 900 };
  context = await chromium.launchPersistentContext(directory, { executablePath: program, args: FLAGS, viewport, ignoreDefaultArgs: ["--hide-scrollbars"] });
  const [complaints, elsewhere] = [[], []];
  context.on("request", (request) => {
    const to = request.url();
    if (!to.startsWith(way.url) && !to.startsWith("data:") && !to.startsWith(`blob:${way.url}`)) elsewhere.push(to);
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
  context.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  const open = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    await page.goto(way.url);
    return page;
  };
  const expected = await scenes[scene]({ page: await open(), way, open });
  assert.deepEqual(complaints.filter((said) => !expected?.complaints.test(said)), [], "the browser complains of nothing");
  assert.deepEqual(elsewhere, [], "nobody else is asked for anything");
  process.stdout.write("well\n");
} finally {
  // A request that is on its way through a scene's hands ends with the browser, and is nobody's failure.
  await Promise.all((context?.pages() ?? []).map((page) => page.unrouteAll({ behavior: "ignoreErrors" })));
  await context?.close();
  way.end();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}
