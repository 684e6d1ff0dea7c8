"use strict";
// Keeps the page up to date. Events report that something changed; the stats have the current state.

const STATS_EVERY_MS = 2000;
const STATS_HIDDEN_EVERY_MS = 30_000;
const STATS_AFTER_EVENT_MS = 150;
const LISTS_AT_MOST_EVERY_MS = 2000;

const view = { stats: null, skewMs: 0, rates: new Rates(), plots: [] };

/** The service's clock. Pauses end by it; this computer's clock may be wrong. */
function serverNow() {
  return Date.now() + view.skewMs;
}

// --- messages

let bannerTimer = null;

/** Announce the result of an action to screen readers. */
function say(text) {
  setText(byId("spoken"), text);
}

/** Show what went wrong, for as long as it takes to read. */
function complain(text) {
  const banner = byId("banner");
  setText(banner, visible(text));
  banner.hidden = false;
  clearTimeout(bannerTimer);
  bannerTimer = setTimeout(() => {
    banner.hidden = true;
  }, 10_000);
}

const LINK_TEXTS = { connecting: "Connecting…", live: "Live", lost: "Connection lost. Trying again…" };

function showLink(link) {
  byId("link").dataset.link = link;
  setText(byId("link-text"), LINK_TEXTS[link]);
  if (link === "live") refresh.soon(0);
}

// --- the stats

/** Runs one request at a time, not before it is due, and never two for one change. */
class Refresher {
  constructor(load, pauseMs) {
    Object.assign(this, {
      load,
      pauseMs,
      timer: null,
      running: false,
      again: false,
      dueMs: Infinity,
      lastMs: -Infinity,
    });
  }

  soon(inMs) {
    if (this.running) {
      this.again = true;
      return;
    }
    const dueMs = Math.max(performance.now() + inMs, this.lastMs + this.pauseMs);
    if (dueMs >= this.dueMs) return;
    this.dueMs = dueMs;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), dueMs - performance.now());
  }

  async run() {
    this.running = true;
    this.dueMs = Infinity;
    try {
      await this.load();
    } finally {
      this.lastMs = performance.now();
      this.running = false;
      if (this.again) this.soon(this.pauseMs);
      this.again = false;
    }
  }
}

let nextStats = null;

async function loadStats() {
  try {
    const sentMs = Date.now();
    const stats = await ask("/v1/stats");
    if (stats.at) view.skewMs = Date.parse(stats.at) - (sentMs + Date.now()) / 2;
    view.stats = stats;
    const nowMs = Date.now();
    for (const stream of stats.workers.streams) view.rates.note(stream.id, stream.bytes_out, nowMs);
    view.rates.keep(new Set(stats.workers.streams.map((stream) => stream.id)));
    byId("main").dataset.stale = "false";
    showStats();
    void followFound();
  } catch (error) {
    byId("main").dataset.stale = "true";
    if (error instanceof RefusedError) complain(explain(error));
  } finally {
    clearTimeout(nextStats);
    nextStats = setTimeout(() => refresh.soon(0), document.hidden ? STATS_HIDDEN_EVERY_MS : STATS_EVERY_MS);
  }
}

function showStats() {
  const { stats } = view;
  showTiles(stats);
  showPauses(stats);
  showWorkers(stats);
  showDestinations(stats);
  showWholePause(stats);
  setHidden(byId("retry-all"), stats.queue.failed < 2);
  showCountdowns();
  const names = Object.keys(stats.destinations);
  setOptions(byId("find-destination"), names);
  setOptions(byId("jobs-destination"), names, "any");
  if (stats.history) for (const plot of view.plots) plot.update(stats.history);
}

async function loadLists() {
  try {
    await Promise.all([loadFailures(), loadJobs()]);
  } catch {
    lists.soon(5 * LISTS_AT_MOST_EVERY_MS); // the failed request for the stats has shown why
  }
}

const refresh = new Refresher(loadStats, 500);
const lists = new Refresher(loadLists, LISTS_AT_MOST_EVERY_MS);

/** The user did something here: show the result without waiting for its event. */
function touched() {
  refresh.soon(0);
  lists.lastMs = -Infinity;
  lists.soon(0);
}

function onNotification(name, params) {
  if (name === "progress") {
    onProgress(params);
    return;
  }
  if (document.hidden) return; // the page loads what it missed when it is visible again
  refresh.soon(STATS_AFTER_EVENT_MS);
  lists.soon(STATS_AFTER_EVENT_MS);
}

function onProgress({ id, bytes_in, bytes_out, total }) {
  view.rates.note(id, bytes_out, Date.now());
  const stream = view.stats?.workers.streams.find((one) => one.id === id);
  if (!stream) return;
  Object.assign(stream, { bytes_in, bytes_out, total });
  showWorkers(view.stats);
  showTiles(view.stats);
}

async function actOnPause(destination, button) {
  const what = button.dataset.act;
  view.stats = await ask(`/v1/${what}`, { method: "POST", body: destination === null ? {} : { destination } });
  showStats();
  const whose = destination === null ? "The whole service" : visible(destination);
  say(`${whose} is ${what === "pause" ? "paused" : "resumed"}.`);
}

function start() {
  view.plots = makePlots();
  setHidden(byId("sign-out"), token === null);
  byId("sign-out").addEventListener("click", signOut);
  listenToClicks(byId("pause-all"), () => actOnPause(null, byId("pause-all")));
  byId("find").addEventListener("submit", findMedia);
  listenToJobs();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) touched();
  });
  setInterval(showCountdowns, 1000);
  setInterval(() => {
    if (!document.hidden) {
      showFailures();
      showJobs();
      showAges();
    }
  }, 15_000); // updates "how long ago"
  touched();
  follow(showLink, onNotification);
}

start();
