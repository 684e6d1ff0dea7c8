"use strict";
// The banner of what is paused: the service, the bucket, destinations, kinds, chats; why, and what ends it.

const MOST_PAUSE_LINES = 6; // more would push the page out of sight; each has its line at its destination too

/** Every pause in the stats, the widest first: `{ key, what, paused }`. */
function pausesOf(stats) {
  const found = [];
  const add = (key, what, paused) => {
    if (paused) found.push({ key, what, paused });
  };
  add("service", "The whole service", stats.paused);
  add("source", `Bucket ${visible(stats.source?.bucket ?? "")}`, stats.source?.paused);
  for (const [name, item] of Object.entries(stats.destinations)) add(name, visible(name), item.paused);
  for (const [name, item] of Object.entries(stats.destinations)) addParts(add, name, item);
  return found;
}

/** The kinds and chats of a destination. A part that is paused for the whole's reason would only repeat it. */
function addParts(add, name, { paused: whole, paused_kinds: kinds = {}, chats = [] }) {
  const shown = visible(name);
  for (const [kind, paused] of Object.entries(kinds)) add(`${name}/${kind}`, `${visible(kind)} at ${shown}`, paused);
  for (const { chat, paused, refused = {} } of chats) {
    const place = `chat ${visible(chat)} of ${shown}`;
    if (paused?.reason !== whole?.reason) add(`${name} ${chat}`, `C${place.slice(1)}`, paused);
    for (const [kind, one] of Object.entries(refused)) {
      if (one.reason !== kinds[kind]?.reason) add(`${name} ${chat} ${kind}`, `${visible(kind)} in ${place}`, one);
    }
  }
}

/** What ends a pause. The time does not tick: a screen reader reads a line again whenever it changes. */
function endOf({ by, until, mendable }) {
  if (by === "source") return "It goes on once a probe of the bucket succeeds.";
  if (by === "user") return until ? `It goes on at ${formatAt(until)}, or when resumed.` : "It goes on when resumed.";
  if (!until) return "Fix the cause, then resume it.";
  return mendable
    ? `It is tried again at ${formatAt(until)}, or when resumed after the cause is fixed.`
    : `It is tried again at ${formatAt(until)}.`;
}

function showPauses(stats) {
  const pauses = pausesOf(stats);
  reconcile(
    byId("pauses-lines"),
    pauses.slice(0, MOST_PAUSE_LINES),
    (one) => one.key,
    () => make("li", {}, make("b"), make("span")),
    (line, { what, paused }) => {
      setText(line.firstElementChild, `${what} is paused`);
      setText(line.lastElementChild, `: ${visible(paused.reason ?? "")}. ${endOf(paused)}`);
    },
  );
  const more = pauses.length - MOST_PAUSE_LINES;
  showNote(byId("pauses-more"), more > 0 ? `and ${formatCount(more)} more: see the destinations` : "");
  setHidden(byId("pauses"), pauses.length === 0);
}
