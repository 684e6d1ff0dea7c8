"use strict";
// Requests to the service with the tab's token, and its stream of events.

const TOKEN_KEPT_AS = "streamwarm.token";
const ANSWER_WITHIN_MS = 15_000;
const SILENCE_MS = 40_000; // the service writes at least every 15 s
const UNSEEN_MS = 10_000;
const RESUME_WITHIN_MS = 60_000;
const RECONNECT_MS = [1000, 2000, 4000, 8000];

const token = sessionStorage.getItem(TOKEN_KEPT_AS);

/** The service refused a request; the message is the service's own. */
class RefusedError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function requestHeaders(more) {
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

function signOut() {
  sessionStorage.removeItem(TOKEN_KEPT_AS);
  location.reload();
}

/** The JSON answer of `path`. Throws RefusedError, or TypeError if the service cannot be reached. */
async function ask(path, { method = "GET", body } = {}) {
  const headers = requestHeaders(body === undefined ? {} : { "Content-Type": "application/json" });
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const options = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
  const answer = await fetch(path, { ...options, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) location.reload(); // the form tries the token again, and reports that it is not valid
  if (!answer.ok) throw new RefusedError(answer.status, await reasonOf(answer));
  return answer.json();
}

async function reasonOf(answer) {
  try {
    return (await answer.json()).detail ?? `The service answered ${answer.status}.`;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}

/** Why a request failed, as a text for the user. */
function explain(error) {
  return error instanceof RefusedError ? error.message : "The service cannot be reached.";
}

/** Splits a text/event-stream into messages as it arrives: `push(text)` calls `onMessage(event, data, id)`. */
class MessageReader {
  constructor(onMessage) {
    this.onMessage = onMessage;
    this.rest = "";
  }

  push(text) {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop();
    for (const block of blocks) this.read(block);
  }

  read(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    this.onMessage(fields.event, fields.data, fields.id);
  }
}

/** Resolves at once if this tab is visible, else when it is visible again. */
function untilSeen() {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });
}

/**
 * Follow /v1/events while the page lives; `EventSource` cannot send the token. `onLink` gets "live" or "lost",
 * `onMessage` gets the name and the params of each notification. After a short break the stream resumes where it ended.
 * A hidden tab closes it: a browser has only six connections to the service for all its tabs.
 */
async function follow(onLink, onMessage) {
  let lastId = null;
  let heardMs = -Infinity;
  for (let failures = 0; ; failures += 1) {
    await untilSeen();
    // After a long break the page loads the current state; replaying everything it missed would be wasted.
    const since = performance.now() - heardMs > RESUME_WITHIN_MS ? null : lastId;
    try {
      await readStream(
        since,
        () => {
          failures = -1;
          onLink("live");
        },
        (event, data, id) => {
          lastId = id ?? lastId;
          heardMs = performance.now();
          if (data !== undefined) onMessage(event, JSON.parse(data));
        },
      );
    } catch (error) {
      if (error instanceof RefusedError && error.status === 401) return;
    }
    onLink("lost");
    const wait = RECONNECT_MS[Math.min(Math.max(failures, 0), RECONNECT_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
  }
}

async function readStream(lastId, onOpen, onMessage) {
  const stopping = new AbortController();
  let silence = setTimeout(() => stopping.abort(), SILENCE_MS);
  const leave = () =>
    setTimeout(() => {
      if (document.hidden) stopping.abort();
    }, UNSEEN_MS);
  document.addEventListener("visibilitychange", leave);
  try {
    const headers = requestHeaders(lastId === null ? {} : { "Last-Event-ID": lastId });
    const options = { headers, signal: stopping.signal, cache: "no-store", credentials: "omit" };
    const answer = await fetch("/v1/events", options);
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new RefusedError(answer.status, await reasonOf(answer));
    onOpen();
    const reader = new MessageReader(onMessage);
    const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) {
      clearTimeout(silence);
      silence = setTimeout(() => stopping.abort(), SILENCE_MS);
      reader.push(piece.value);
    }
  } finally {
    document.removeEventListener("visibilitychange", leave);
    clearTimeout(silence);
    stopping.abort();
  }
}
