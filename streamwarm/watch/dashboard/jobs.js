"use strict";
// Lists of jobs: the failures with their reasons, and all jobs by state and destination. Each loads one page at a time,
// however many jobs there are.

const FAILURES_AT_ONCE = 5;
const MOST_FAILURES = 50; // the list of all jobs has the others
const JOBS_AT_ONCE = 20;
const TROUBLED = ["failed", "unknown"];
const RETRIED = ["failed", "unknown", "cancelled"];
const CANCELLED = ["queued", "running", "waiting", "unknown"];

function jobsPath(params) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== "" && value !== null));
  return `/v1/jobs?${query}`;
}

/** True if the pointer or the focus is in `list`: its rows must not move while the user may press something. */
function isHeld(list) {
  return list.matches(":hover, :focus-within");
}

/** The current `jobs` in the order of `shown`, then the new ones. */
function inOrderOf(shown, jobs) {
  const place = new Map(shown.map((job, at) => [job.id, at]));
  const placeOf = (job) => place.get(job.id) ?? shown.length;
  return jobs.toSorted((a, b) => placeOf(a) - placeOf(b));
}

// --- failures

const failures = { jobs: [], shown: FAILURES_AT_ONCE, more: false };

async function loadFailures() {
  const pages = await Promise.all(TROUBLED.map((state) => ask(jobsPath({ state, limit: failures.shown }))));
  const troubled = pages.flatMap((page) => page.jobs).sort((a, b) => b.updated_at.localeCompare(a.updated_at));
  failures.jobs = (isHeld(byId("failures")) ? inOrderOf(failures.jobs, troubled) : troubled).slice(0, failures.shown);
  failures.more = troubled.length > failures.shown || pages.some((page) => page.next !== null);
  showFailures();
}

function showFailures() {
  const list = byId("failures");
  const lost = reconcile(list, failures.jobs, (job) => job.id, makeFailure, showFailure);
  // The row with the focus is gone: move the focus to the first of the other rows.
  if (lost) (list.querySelector("button:not([aria-expanded])") ?? byId("failures-heading")).focus();
  setHidden(byId("failures-empty"), failures.jobs.length > 0);
  setText(byId("failures-empty"), "Nothing has failed.");
  setHidden(byId("failures-more"), !failures.more || failures.shown >= MOST_FAILURES);
}

function makeFailure(job) {
  const row = make("li", { className: "failure" });
  row.append(
    make("div", { className: "failure-object" }, makeKey(job.r2_key), make("span", { className: "note" })),
    makeButton("Retry", `Retry ${visible(job.r2_key)}`, () => act(job, "retry")),
    make("p", { className: "reason" }),
  );
  return row;
}

function showFailure(row, job) {
  const [object, , reason] = row.children;
  const attempts = `${job.attempt} ${job.attempt === 1 ? "attempt" : "attempts"}`;
  const ago = formatAgo((serverNow() - Date.parse(job.updated_at)) / 1000);
  setText(object.lastElementChild, [visible(job.destination), job.kind, attempts, ago].join(" · "));
  showReason(reason, job);
}

function showReason(element, job) {
  const code = job.error?.code ?? job.state;
  const message = visible(job.error?.message ?? "the destination’s answer was lost; it may have the object");
  if (element.dataset.shown === code + message) return;
  element.dataset.shown = code + message;
  element.replaceChildren(make("code", { className: "code", textContent: code }), ` ${message}`);
  element.title = message;
}

// --- all jobs

const jobs = { state: "", destination: "", after: [], page: { jobs: [], next: null }, open: new Set() };

async function loadJobs() {
  const { state, destination, after } = jobs;
  const page = await ask(jobsPath({ state, destination, limit: JOBS_AT_ONCE, after: after.at(-1) ?? null }));
  if (state !== jobs.state || destination !== jobs.destination || after !== jobs.after) return; // chosen anew meanwhile
  const isKept = jobs.page.jobs.length > 0 && isHeld(byId("jobs"));
  jobs.page = isKept ? { ...jobs.page, jobs: updated(jobs.page.jobs, page.jobs) } : page;
  showJobs();
}

/** The shown jobs, each with its latest state if known. */
function updated(shown, jobs) {
  const now = new Map(jobs.map((job) => [job.id, job]));
  return shown.map((job) => now.get(job.id) ?? job);
}

function showJobs() {
  const rows = jobs.page.jobs.flatMap((job) => (jobs.open.has(job.id) ? [{ job }, { job, more: true }] : [{ job }]));
  const keyOf = ({ job, more }) => (more ? `more:${job.id}` : `job:${job.id}`);
  const lost = reconcile(
    byId("jobs"),
    rows,
    keyOf,
    (row) => (row.more ? makeMore() : makeJob(row.job)),
    (element, row) => (row.more ? showMore(element, row.job) : showJob(element, row.job)),
  );
  if (lost) byId("jobs-heading").focus();
  setHidden(byId("jobs-empty"), jobs.page.jobs.length > 0);
  setText(
    byId("jobs-empty"),
    jobs.state || jobs.destination ? "No job is like that." : "No job yet. Push one: streamwarm push KEY",
  );
  byId("jobs-newer").disabled = jobs.after.length === 0;
  byId("jobs-older").disabled = jobs.page.next === null;
  setText(byId("jobs-page"), `page ${jobs.after.length + 1}, newest first`);
  setHidden(byId("jobs-pages"), jobs.after.length === 0 && jobs.page.next === null);
}

function makeJob(job) {
  const cell = (className, label, ...children) => make("td", { className, data: { label } }, ...children);
  const toggle = make("button", { type: "button", className: "toggle" }, makeKey(job.r2_key));
  toggle.addEventListener("click", () => {
    if (!jobs.open.delete(job.id)) jobs.open.add(job.id);
    showJobs();
  });
  return make(
    "tr",
    {},
    cell("state", "State", make("span", { className: "badge" })),
    cell("object", "Object", toggle),
    cell("", "Destination", visible(job.destination)),
    cell("", "Kind", visible(job.kind)),
    cell("number", "Size"),
    cell("number", "Attempt"),
    cell("number", "Changed"),
  );
}

function showJob(row, job) {
  const [state, object, , , size, attempt, changed] = row.children;
  setText(state.firstElementChild, job.state);
  state.firstElementChild.dataset.state = job.state;
  object.firstElementChild.setAttribute("aria-expanded", jobs.open.has(job.id));
  const bytes = job.result?.bytes ?? job.bytes;
  setText(size, formatBytes(bytes));
  size.dataset.empty = bytes === null || bytes === undefined;
  setText(attempt, String(job.attempt));
  setText(changed, formatAgo((serverNow() - Date.parse(job.updated_at)) / 1000));
}

function makeMore() {
  return make(
    "tr",
    { className: "more" },
    make("td", { colSpan: 7 }, make("dl", { className: "facts" }), make("div", { className: "row-actions" })),
  );
}

function showMore(row, job) {
  const shown = JSON.stringify(job);
  if (row.dataset.shown === shown) return;
  row.dataset.shown = shown;
  const [facts, actions] = row.firstElementChild.children;
  facts.replaceChildren(
    ...factsOf(job).flatMap(([name, value]) => [
      make("dt", { textContent: name }),
      make("dd", {}, make("bdi", { textContent: visible(value) })),
    ]),
  );
  const offers = [
    RETRIED.includes(job.state) ? makeButton("Retry", `Retry ${visible(job.r2_key)}`, () => act(job, "retry")) : null,
    CANCELLED.includes(job.state)
      ? makeButton("Cancel", `Cancel ${visible(job.r2_key)}`, () => act(job, "cancel"))
      : null,
  ];
  actions.replaceChildren(...offers.filter((offer) => offer !== null));
}

/** All details of a job. The parts of its result are in the order in which they came. */
function factsOf(job) {
  const result = Object.entries(job.result ?? {}).filter(([, value]) => value !== null && typeof value !== "object");
  const facts = [
    ["object", job.r2_key],
    ["id", job.id],
    ["sha256", job.sha256],
    ["pushed", job.created_at],
    ["error", job.error && `${job.error.code}: ${job.error.message}`],
    ["tried again", job.retry_at],
    ["sent twice", job.possible_duplicate ? "maybe: an answer was lost, and it was sent again" : null],
    ["options", Object.keys(job.options ?? {}).length ? JSON.stringify(job.options) : null],
    ["warnings", (job.result?.warnings ?? []).join(", ")],
    ["media", mediaOf(job.result?.media)],
    ...result.map(([name, value]) => [name.replaceAll("_", " "), value]),
  ];
  const known = facts.filter(([, value]) => value);
  return known.filter(([name], at) => known.findIndex(([other]) => other === name) === at);
}

/** What Telegram knows of the file, in one line; empty if it answered nothing. */
function mediaOf(media) {
  const parts = [
    media?.width && media?.height ? `${media.width} × ${media.height}` : "",
    media?.duration ? `${media.duration} s` : "",
    media?.file_name ?? "",
    media?.has_thumbnail ? "with a thumbnail" : "",
  ];
  return parts.filter((part) => part).join(", ");
}

/** Retry or cancel a job, and report the result. */
async function act(job, what) {
  const after = await ask(`/v1/jobs/${encodeURIComponent(job.id)}/${what}`, { method: "POST" });
  const name = visible(job.r2_key);
  if (after.state === job.state) complain(`${name} stays ${after.state}: it is warm already, or another job is at it.`);
  else say(`${name} is ${after.state} now.`);
  touched();
}

/** Retry all failed jobs in batches. Not the unknown ones: a user must decide, because each may be sent twice. */
async function retryAll() {
  let retried = 0;
  for (let after; after !== null;) {
    const batch = await ask("/v1/jobs/retry", { method: "POST", body: { state: "failed", after } });
    retried += batch.changed;
    after = batch.next;
  }
  say(`${formatCount(retried)} jobs are queued again.`);
  touched();
}

async function turnPage(after) {
  jobs.after = after;
  jobs.page = { jobs: [], next: null };
  jobs.open.clear();
  await loadJobs();
}

function listenToJobs() {
  for (const id of ["failures", "jobs"]) {
    // Show the withheld changes as soon as the pointer and the focus have left the list.
    for (const leaving of ["pointerleave", "focusout"]) byId(id).addEventListener(leaving, () => lists.soon(0));
  }
  listenToClicks(byId("retry-all"), retryAll);
  listenToClicks(byId("failures-more"), () => {
    failures.shown = Math.min(MOST_FAILURES, failures.shown + 3 * FAILURES_AT_ONCE);
    return loadFailures();
  });
  for (const name of ["state", "destination"]) {
    byId(`jobs-${name}`).addEventListener("change", (event) => {
      jobs[name] = event.target.value;
      turnPage([]).catch((error) => complain(explain(error)));
    });
  }
  listenToClicks(byId("jobs-newer"), () => turnPage(jobs.after.slice(0, -1)));
  listenToClicks(byId("jobs-older"), () => turnPage([...jobs.after, jobs.page.next]));
}
