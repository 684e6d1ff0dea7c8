"use strict";
// Draws the stats: the tiles, the workers, the destinations. Everything comes from `view`, which `main.js` keeps.

const RATE_WINDOW_S = 3; // long enough to hide single buffers, short enough to follow a change

const MOST_IDLE_LINES = 8;

/** The rate of each running job, from samples of its delivered bytes by the page's own clock. */
class Rates {
  constructor() {
    this.byId = new Map();
  }

  note(id, bytes, atMs) {
    const samples = this.byId.get(id) ?? [];
    // The same figure comes from stats and from progress. A new attempt starts at zero again.
    if (samples.length && bytes < samples.at(-1).bytes) samples.length = 0;
    samples.push({ bytes, atMs });
    while (samples.length > 2 && atMs - samples[1].atMs > RATE_WINDOW_S * 1000) samples.shift();
    this.byId.set(id, samples);
  }

  /** Bytes per second; null until there are two samples. */
  of(id, nowMs) {
    const samples = this.byId.get(id);
    if (!samples || samples.length < 2) return null;
    const moved = samples.at(-1).bytes - samples[0].bytes;
    const seconds = (Math.max(nowMs, samples.at(-1).atMs) - samples[0].atMs) / 1000;
    return seconds < 0.5 ? null : moved / seconds;
  }

  keep(ids) {
    for (const id of this.byId.keys()) if (!ids.has(id)) this.byId.delete(id);
  }
}

function showTiles(stats) {
  const { queue, workers } = stats;
  const rates = workers.streams.map(rateOf);
  setText(byId("tile-rate"), workers.busy ? formatRate(sumOf(rates)) : "0 B/s");
  setText(byId("tile-rate-note"), workers.busy ? "to destinations, now" : "nothing is being streamed");
  setText(byId("tile-workers"), `${workers.busy} / ${workers.size}`);
  setText(byId("tile-workers-note"), `busy; most at once ${workers.busy_peak}`);
  setText(byId("tile-queued"), formatCount(queue.queued));
  setText(
    byId("tile-queued-note"),
    queue.queued ? `oldest ${formatSeconds(Math.round(queue.oldest_s))}` : "nothing waits",
  );
  setText(byId("tile-waiting"), formatCount(queue.waiting));
  setText(byId("tile-done"), formatCount(queue.done));
  setText(byId("tile-done-note"), queue.cancelled ? `${formatCount(queue.cancelled)} cancelled` : "on record");
  const troubled = (queue.failed ?? 0) + (queue.unknown ?? 0);
  setText(byId("tile-failed"), formatCount(queue.failed));
  setText(byId("tile-failed-note"), queue.unknown ? `and ${formatCount(queue.unknown)} unknown` : "none unknown");
  byId("tile-failed").closest(".tile").dataset.tone = troubled ? "bad" : "";
  const { records } = stats;
  const total = sumOf(Object.values(records));
  setText(byId("tile-records"), formatCount(total));
  const none = total ? "none changed or gone" : "nothing is warm yet";
  setText(byId("tile-records-note"), notCurrent(records).join(", ") || none);
  byId("tile-records").closest(".tile").dataset.tone = records.changed ? "warn" : "";
}

/** The records that are not of their object's present version: `["2 changed", "1 gone"]`. */
function notCurrent(records) {
  const states = ["changed", "gone"].filter((state) => records[state]);
  return states.map((state) => `${formatCount(records[state])} ${state}`);
}

function rateOf(stream) {
  return view.rates.of(stream.id, Date.now()) ?? stream.bytes_per_s;
}

function showWorkers(stats) {
  const { size } = stats.workers;
  const lines = workerLines(stats.workers);
  reconcile(
    byId("workers"),
    lines,
    (line) => line.name,
    makeWorker,
    (row, line) => showWorker(row, line.stream),
  );
  setHidden(byId("workers-empty"), lines.length > 0);
  setText(byId("workers-empty"), `All ${size} workers are idle.`);
  setText(byId("workers-note"), stats.cache?.entries ? `download cache ${formatBytes(stats.cache.bytes)}` : "");
}

/** One row per worker in a fixed position, so that rows do not jump. If there are many, only the busy ones. */
function workerLines({ size, streams }) {
  const busy = streams.map((stream) => ({ name: nameOf(stream), stream }));
  if (size > MOST_IDLE_LINES || streams.some((stream) => stream.process)) return busy;
  const byName = new Map(busy.map((line) => [line.name, line]));
  return Array.from({ length: size }, (_, at) => byName.get(String(at + 1)) ?? { name: String(at + 1) });
}

/** In a service of several processes, each process numbers its own workers. */
function nameOf({ process, worker }) {
  return process ? `${process}.${worker}` : String(worker);
}

function makeWorker({ name }) {
  const bar = make("div", {
    className: "bar",
    attributes: { role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" },
  });
  bar.append(make("div", { className: "bar-fill" }));
  return make(
    "li",
    { className: "worker" },
    make("span", { className: "worker-number" }, make("span", { className: "away", textContent: "Worker " }), name),
    make("div", { className: "worker-object" }),
    make("div", { className: "worker-figures" }),
    bar,
  );
}

function showWorker(row, stream) {
  const [, object, figures, bar] = row.children;
  const shown = stream ? `${stream.id} ${stream.r2_key}` : "";
  if (row.dataset.shown !== shown) {
    row.dataset.shown = shown;
    object.replaceChildren(
      ...(stream
        ? [makeKey(stream.r2_key), makeAbout(stream)]
        : [make("span", { className: "idle", textContent: "idle" })]),
    );
    bar.firstElementChild.style.transform = "scaleX(0)";
    if (stream) bar.setAttribute("aria-label", visible(stream.r2_key));
  }
  row.dataset.busy = Boolean(stream);
  setHidden(bar, !stream);
  setText(figures, stream ? figuresOf(stream) : "");
  if (!stream) return;
  const share = stream.total ? Math.min(1, stream.bytes_out / stream.total) : 0;
  bar.firstElementChild.style.transform = `scaleX(${share.toFixed(4)})`;
  bar.setAttribute("aria-valuenow", Math.round(share * 100));
}

function makeAbout(stream) {
  const parts = [visible(stream.destination), visible(stream.kind)];
  if (stream.attempt > 1) parts.push(`attempt ${stream.attempt}`);
  return make("span", { className: "note", textContent: parts.join(" · ") });
}

function figuresOf(stream) {
  if (!stream.total) return "opening…";
  const rate = rateOf(stream);
  const left = stream.total - stream.bytes_out;
  if (left <= 0) return `${formatBytes(stream.total)} · waiting for the answer`;
  const eta = rate > 0 ? ` · ${formatSeconds(Math.max(1, Math.round(left / rate)))} left` : "";
  return `${formatBytes(stream.bytes_out)} of ${formatBytes(stream.total)} · ${formatRate(rate)}${eta}`;
}

function showDestinations(stats) {
  const items = Object.entries(stats.destinations).map(([name, one]) => ({ name, ...one }));
  reconcile(byId("destinations"), items, (item) => item.name, makeDestination, showDestination);
  setHidden(byId("destinations-empty"), items.length > 0);
  setText(byId("destinations-empty"), "No destination is configured: add [destinations.NAME] to streamwarm.toml.");
}

function makeDestination({ name, type }) {
  const button = makeButton("", "", () => actOnPause(name, button));
  return make(
    "li",
    { className: "destination" },
    make(
      "div",
      { className: "destination-name" },
      make("b", { textContent: visible(name) }),
      make("span", { className: "note", textContent: visible(type) }),
    ),
    button,
    make("ul", { className: "counts" }),
    make("p", { className: "note records" }),
    make("p", { className: "pause", data: { pause: "" } }),
    make("p", { className: "note limits" }),
    make("ul", { className: "chats" }),
    make("p", { className: "note hint" }),
  );
}

const COUNTED = ["queued", "running", "waiting", "failed", "unknown"];

function showDestination(row, item) {
  const [, button, counts, records, pause, limits, chats, hint] = row.children;
  const shown = COUNTED.filter((state) => item.queue?.[state]).map((state) => ({ state, count: item.queue[state] }));
  const entries = shown.length ? shown : [{ state: "idle", count: null }];
  reconcile(
    counts,
    entries,
    (one) => one.state,
    makeCount,
    (element, one) => setText(element.firstElementChild, one.count === null ? "nothing waits" : formatCount(one.count)),
  );
  showPause(pause, item.paused);
  showNote(records, recordsOf(item));
  const chatPauses = (item.chats ?? []).flatMap(({ paused, refused }) => [paused, ...Object.values(refused ?? {})]);
  showPauseButton(button, [item.paused, ...chatPauses].some(canResume), visible(item.name));
  showNote(limits, limitsOf(item));
  reconcile(chats, chatsOf(item), (chat) => chat.chat, makeChat, showChat);
  showNote(hint, visible(item.hint ?? ""));
}

/** What is warm at a destination, and how much of it is not current. */
function recordsOf({ records }) {
  const total = sumOf(Object.values(records));
  return total ? [`${formatCount(total)} warm`, ...notCurrent(records)].join(" · ") : "";
}

function showNote(element, text) {
  setText(element, text);
  setHidden(element, text === "");
}

/** The line of a pause. `showCountdowns` fills it in, now and every second. */
function showPause(line, paused) {
  line.dataset.until = paused?.until ?? "";
  line.dataset.reason = paused ? pauseReason(paused) : "";
  setHidden(line, !paused);
}

function makeCount({ state, count }) {
  return make("li", { data: { state } }, make("b"), count === null ? "" : ` ${state}`);
}

/** Why a destination is paused, in the destination's words. A user's own pause needs no reason. */
function pauseReason(paused) {
  return paused.by === "user" ? "" : visible(paused.reason ?? "");
}

/** True if a user can end the pause: their own, or one whose cause they can fix. A 429's pause ends by itself. */
function canResume(paused) {
  return Boolean(paused) && (paused.by === "user" || paused.until === null || paused.mendable === true);
}

function showPauseButton(button, isResumable, name) {
  const act = isResumable ? "Resume" : "Pause";
  setText(button, name === "all" ? `${act} all` : act);
  button.setAttribute("aria-label", `${act} ${name}`);
  button.dataset.act = act.toLowerCase();
}

/** The destination's rate, and how long its waiting jobs will take. Empty if it has no budget. */
function limitsOf({ limits, eta_s: etaS }) {
  if (!limits) return "";
  const rate = `at most ${limits.messages_per_minute} messages a minute`;
  return etaS > 0 ? `${rate} · about ${formatSeconds(etaS)} for what waits` : rate;
}

/** A bot's chats, if there are several or if the only one has something to report. */
function chatsOf({ chats = [] }) {
  return chats.length > 1 ? chats : chats.filter((chat) => chat.paused || chat.moved_to || chat.refused);
}

function makeChat({ chat }) {
  return make(
    "li",
    {},
    make("span", { textContent: `chat ${visible(chat)}` }),
    make("span", { className: "note" }),
    make("p", { className: "pause", data: { pause: "" } }),
    make("ul", { className: "refused" }),
  );
}

function showChat(element, item) {
  const [, note, pause, refused] = element.children;
  const moved = item.moved_to ? [`now ${visible(item.moved_to)}`] : [];
  setText(note, [...moved, `${formatCount(item.last_minute)} in the last minute`].join(" · "));
  showPause(pause, item.paused);
  const kinds = Object.entries(item.refused ?? {}).map(([kind, paused]) => ({ kind, paused }));
  reconcile(refused, kinds, ({ kind }) => kind, makeRefused, (line, { paused }) => showPause(line, paused));
}

function makeRefused({ kind }) {
  return make("li", { className: "pause", data: { pause: "", kind: visible(kind) } });
}

/** Update the line of every pause, once a second, with the time that is left. */
function showCountdowns() {
  for (const line of document.querySelectorAll("[data-pause]")) {
    const { until, reason, kind } = line.dataset;
    const paused = kind ? `${kind} paused` : "paused";
    const left = until
      ? `${paused}, ${formatCountdown((Date.parse(until) - serverNow()) / 1000)} left`
      : `${paused} until resumed`;
    setText(line, reason ? `${left}: ${reason}` : left);
    line.title = reason;
  }
}

function showWholePause(stats) {
  const button = byId("pause-all");
  setHidden(button, !("paused" in stats));
  showPauseButton(button, canResume(stats.paused), "all");
}
