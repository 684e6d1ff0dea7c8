"use strict";
// A look-up's answer: the record with its reference, how it stands to its object, and what can be done about it.

const SOURCE_STATES = {
  current: "the bucket has this version",
  changed: "the bucket has another version; this reference is of the one before",
  gone: "the bucket has no such object any more; the reference may still work",
};

const WARNINGS = {
  no_dimensions: "Telegram knows no width and height, so people see a square",
  no_thumbnail: "Telegram dropped the thumbnail",
  index_at_end: "it plays only once all of it is loaded: its index is at the end",
  other_kind: "Telegram stored it as another kind than was asked for",
};

/** A text that a record or an error has, or null. */
const shownOrNull = (value) => (value === null || value === undefined || value === "" ? null : visible(value));

function makeFound(lookup, record, news) {
  const reference = record.result.file_id ?? record.result.etag ?? record.result.location ?? "";
  return make(
    "div",
    { className: "result" },
    makeStanding(record),
    reference ? makeReference(reference) : null,
    makeFacts(record),
    makeWarnings(record.result.warnings ?? []),
    makeRecordActions(lookup, record),
    makeNews(news),
  );
}

/** The states as badges, then what they mean and how old they are. */
function makeStanding(record) {
  const { source_state: state, checked_at: checkedAt } = record;
  const badge = (text, tone) => make("span", { className: "badge", textContent: text, data: { state: tone } });
  const isCompared = checkedAt !== null && checkedAt !== undefined;
  return make(
    "div",
    { className: "standing" },
    make("p", {}, badge("warm", "done"), " ", isCompared ? badge(visible(state), state) : null),
    make("p", {}, isCompared ? (SOURCE_STATES[state] ?? "") : "not compared with the bucket yet"),
    make(
      "p",
      { className: "note" },
      makeAge("warmed", record.warmed_at),
      ...(isCompared ? [" · ", makeAge("compared", checkedAt)] : []),
    ),
  );
}

/** "warmed 3 days ago", which `showAges` keeps true. It is not read aloud each time it changes. */
function makeAge(what, at) {
  return make("span", { title: formatAt(at), data: { age: at, what }, attributes: { "aria-live": "off" } });
}

function showAges() {
  for (const element of byId("found").querySelectorAll("[data-age]")) {
    const { age, what } = element.dataset;
    setText(element, `${what} ${formatAgo((serverNow() - Date.parse(age)) / 1000)}`);
  }
}

function makeFacts(record) {
  const facts = [
    ["object", record.r2_key],
    ["size", record.bytes ? formatBytes(record.bytes) : null],
    ["sha256", record.sha256],
    ["version", record.source_etag],
    ["warmed", record.warmed_at],
    ["returned as", record.result.kind],
    ["account", otherAccountOf(record)],
    ["made by", record.result.source === "import" ? "an import, not by this service" : null],
    ["options", Object.keys(record.options ?? {}).length ? JSON.stringify(record.options) : null],
  ];
  return make(
    "dl",
    { className: "facts" },
    ...facts
      .filter(([, value]) => shownOrNull(value) !== null)
      .flatMap(([name, value]) => [
        make("dt", { textContent: name }),
        make("dd", {}, make("bdi", { textContent: visible(value) })),
      ]),
  );
}

/** The record's account if it is not that of its destination's settings: its reference works for that account alone. */
function otherAccountOf({ account, destination }) {
  const configured = view.stats?.destinations[destination]?.account;
  if (!account || !configured || account === configured) return null;
  return `${account}, not the configured ${configured}: the reference works for the former alone`;
}

function makeWarnings(warnings) {
  if (warnings.length === 0) return null;
  return make(
    "ul",
    { className: "warnings", attributes: { "aria-label": "Warnings" } },
    ...warnings.map((word) => {
      const about = Object.hasOwn(WARNINGS, word) ? ` ${WARNINGS[word]}` : "";
      return make("li", {}, make("code", { className: "code", textContent: visible(word) }), about);
    }),
  );
}

function makeNews(news) {
  const text = news?.text ?? "";
  const data = { news: "", tone: news?.isBad ? "bad" : "" };
  return make("p", { className: "news", textContent: text, hidden: !text, data });
}

// --- what can be done

function makeRecordActions(lookup, record) {
  const name = visible(record.r2_key);
  const actions = make("div", { className: "row-actions" });
  const offer = (act, text, label, run) => {
    const button = makeButton(text, label, run);
    button.dataset.act = act;
    return button;
  };
  const push = (refresh, doing) => pushFor(lookup, jobOf(record, refresh), doing);
  const swap = (children, focused) => {
    actions.replaceChildren(...children);
    actions.querySelector(`[data-act="${focused}"]`).focus();
  };
  const offers = [
    offer("refresh", "Refresh", `Refresh ${name}: warm it anew if it has changed`, () =>
      push("if_changed", "The object is being compared with the bucket."),
    ),
    offer("always", "Warm anew", `Warm ${name} anew, changed or not`, () =>
      push("always", "The object is being warmed anew."),
    ),
    offer("forget", "Forget", `Forget ${name}`, () => swap(sure, "keep-it")),
  ];
  const sure = [
    make("p", { className: "sure", textContent: "Forget it? Look-ups find nothing until it is warm again." }),
    offer("forget-it", "Forget it", `Yes, forget ${name}`, () => forgetRecord(lookup, record)),
    offer("keep-it", "Keep it", `Keep ${name}`, () => swap(offers, "forget")),
  ];
  actions.append(...offers);
  return actions;
}

/** A job for the record's object. What became the reference, its options too, is what a new one is made of. */
function jobOf({ destination, kind, r2_key, options }, refresh) {
  return { destination, kind, r2_key, options: options ?? {}, refresh };
}

/** Only if it is still the shown reference: the page may be older than the record. */
async function forgetRecord(lookup, record) {
  const { file_id: fileId } = record.result;
  const condition = fileId ? `?${new URLSearchParams({ file_id: fileId })}` : "";
  await ask(`${mediaPath(lookup)}${condition}`, { method: "DELETE" });
  found.job = null;
  touched();
  await lookUp({ ...lookup, reference: record.r2_key }, { text: "Forgotten. The next push warms it again." });
}

function makeReference(reference) {
  const copy = makeButton("Copy", "Copy the reference", async () => {
    await navigator.clipboard.writeText(reference);
    say("Copied.");
    setText(copy, "Copied");
  });
  return make(
    "p",
    { className: "reference" },
    make("code", { textContent: visible(reference) }),
    navigator.clipboard ? copy : null,
  );
}

const SHA256 = /^[0-9a-f]{64}$/i;

/** The object is not warm. A job can be pushed for a key; a digest alone does not name an object. */
function makeCold(lookup, news) {
  const { destination, kind, reference: r2_key } = lookup;
  const push = makeButton("Push it", `Push ${visible(r2_key)}`, () =>
    pushFor(lookup, { destination, kind, r2_key }, "The object is being warmed."),
  );
  return make(
    "div",
    { className: "result" },
    make(
      "p",
      {},
      make("span", { className: "badge", textContent: "cold", data: { state: "cancelled" } }),
      " not warm at this destination",
    ),
    SHA256.test(r2_key) ? null : make("div", { className: "row-actions" }, push),
    makeNews(news),
  );
}
