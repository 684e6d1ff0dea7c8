"use strict";
// The look-up of a media key: is this object warm at that destination, and what is its reference? `record.js` shows it.

/** What is shown: the look-up that found it, its record, and the job that was pushed for it and has not ended. */
const found = { lookup: null, record: null, job: null, turn: 0 };

async function findMedia(event) {
  event.preventDefault();
  const [destination, kind, reference] = ["find-destination", "find-kind", "find-reference"].map(
    (id) => byId(id).value,
  );
  found.job = null;
  await lookUp({ destination, kind, reference });
}

function mediaPath({ destination, kind, reference }) {
  return `/v1/media/${[destination, kind, reference].map(encodeURIComponent).join("/")}`;
}

/** Look up and show; `news` is what became of a job for it. An answer that comes after a newer look-up is dropped. */
async function lookUp(lookup, news = null) {
  const turn = (found.turn += 1);
  let shown;
  let record = null;
  try {
    record = await ask(mediaPath(lookup));
    shown = makeFound(lookup, record, news);
  } catch (error) {
    const isCold = error instanceof RefusedError && error.status === 404;
    shown = isCold
      ? makeCold(lookup, news)
      : make("p", { className: "refusal", textContent: explain(error) });
  }
  if (turn !== found.turn) return;
  Object.assign(found, { lookup, record });
  showFound(shown);
}

/** Show a result in place of the one before. Of two buttons with one name, the new one gets the focus. */
function showFound(shown) {
  const place = byId("found");
  const held = place.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
  const hadFocus = place.contains(document.activeElement);
  place.replaceChildren(shown);
  showAges();
  if (hadFocus) (place.querySelector(`[data-act="${held}"]`) ?? byId("find-heading")).focus();
}

// --- jobs for what is shown

/** Push a job for the shown object, say what it waits for, and look up again once it has ended. */
async function pushFor(lookup, job, doing) {
  const { turn } = found;
  const answer = await ask("/v1/jobs", { method: "POST", body: { jobs: [job] } });
  touched();
  const [refused] = answer.rejected;
  if (refused) {
    complain(`${refused.code}: ${visible(refused.message)}`);
    return;
  }
  const [accepted] = answer.accepted;
  if (turn !== found.turn) {
    say(`${visible(job.r2_key)} is ${accepted.state} now.`);
    return;
  }
  const isAtOnce = accepted.state === "done"; // compared a moment ago, so there was nothing to do
  const byKey = { ...lookup, reference: job.r2_key };
  found.job = { id: accepted.id, lookup: byKey, wasWarm: found.record !== null, isAtOnce };
  if (isAtOnce) await endJob(accepted);
  else showNews(`${doing} The job is ${accepted.state}.`);
}

const ENDED = ["done", "failed", "unknown", "cancelled"];

/** How the shown object's job is doing. Called with each refresh of the stats, which follows every event. */
async function followFound() {
  const waiting = found.job;
  if (!waiting) return;
  let job;
  try {
    job = await ask(`/v1/jobs/${encodeURIComponent(waiting.id)}`);
  } catch (error) {
    if (error instanceof RefusedError && found.job === waiting) found.job = null; // the next look-up shows what it did
    return;
  }
  if (found.job !== waiting) return;
  if (ENDED.includes(job.state)) await endJob(job);
  else if (job.state !== "queued") showNews(`The job is ${job.state}.`);
}

async function endJob(job) {
  const { lookup, ...about } = found.job;
  found.job = null;
  const news = newsOf(job, about);
  await lookUp(lookup, news);
  const text = `${visible(lookup.reference)}: ${news.text}`;
  if (news.isBad) complain(text);
}

/** What became of a job: `{ text, isBad }`. */
function newsOf(job, { wasWarm, isAtOnce }) {
  if (job.state !== "done") {
    const reason = job.error ? `${job.error.code}: ${visible(job.error.message)}` : "";
    return { text: [`The job ended ${job.state}.`, reason].filter(Boolean).join(" "), isBad: true };
  }
  const source = job.result?.source;
  if (source === "unverified") return { text: "The bucket did not answer, so nothing was compared.", isBad: true };
  if (isAtOnce || source === "unchanged") return { text: "Unchanged: the bucket has the version that is recorded." };
  return { text: wasWarm ? "Warmed anew: this is the new reference." : "Warm now." };
}

/** The line under the buttons. It is part of a live region, so a screen reader reads it when it changes. */
function showNews(text) {
  const line = byId("found").querySelector("[data-news]");
  if (!line) return;
  setText(line, text);
  setHidden(line, false);
  line.dataset.tone = "";
}
