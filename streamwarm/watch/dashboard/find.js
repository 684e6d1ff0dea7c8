"use strict";
// The look-up of a media key: is this object warm at that destination, and what is its reference?

async function findMedia(event) {
  event.preventDefault();
  const [destination, kind, reference] = ["find-destination", "find-kind", "find-reference"].map(
    (id) => byId(id).value,
  );
  const place = byId("found");
  try {
    const path = [destination, kind, reference].map(encodeURIComponent).join("/");
    place.replaceChildren(makeFound(await ask(`/v1/media/${path}`)));
  } catch (error) {
    const isCold = error instanceof RefusedError && error.status === 404;
    place.replaceChildren(
      isCold
        ? makeCold({ destination, kind, r2_key: reference })
        : make("p", { className: "refusal", textContent: explain(error) }),
    );
  }
}

function makeFound(record) {
  const reference = record.result.file_id ?? record.result.etag ?? record.result.location ?? "";
  const facts = [
    ["object", record.r2_key],
    ["size", formatBytes(record.bytes)],
    ["sha256", record.sha256],
    ["warmed", `${formatAgo((serverNow() - Date.parse(record.warmed_at)) / 1000)}, ${record.warmed_at}`],
    ["returned as", record.result.kind],
  ];
  return make(
    "div",
    { className: "result" },
    make("p", {}, make("span", { className: "badge", textContent: "warm", data: { state: "done" } })),
    reference ? makeReference(reference) : null,
    make(
      "dl",
      { className: "facts" },
      ...facts
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [
          make("dt", { textContent: name }),
          make("dd", {}, make("bdi", { textContent: visible(value) })),
        ]),
    ),
  );
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
function makeCold(job) {
  const push = makeButton("Push it", `Push ${visible(job.r2_key)}`, async () => {
    const answer = await ask("/v1/jobs", { method: "POST", body: { jobs: [job] } });
    const refused = answer.rejected[0];
    if (refused) complain(`${refused.code}: ${visible(refused.message)}`);
    else say(`${visible(job.r2_key)} is ${answer.accepted[0].state} now.`);
    touched();
  });
  return make(
    "div",
    { className: "result" },
    make(
      "p",
      {},
      make("span", { className: "badge", textContent: "cold", data: { state: "cancelled" } }),
      " not warm at this destination",
    ),
    SHA256.test(job.r2_key) ? null : push,
  );
}
