"""What thousands of jobs would lose to one answer of a bucket: for every status and every question, what becomes of the
job (faults 34 to 36). Nothing outside a short list of named answers is permanent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import trio
from attrs import frozen

from streamwarm.errors import AttemptError, Blame, ErrorCode, SourceError
from streamwarm.fetch.answers import Asked, Head, error_of
from streamwarm.send.s3.answers import read_refusal
from streamwarm.send.s3.multipart import COMPLETE_S
from tests.worlds.memory_bucket import brisk_clock
from tests.worlds.one_step import Outcome, one_step_world, outcome_of
from tests.worlds.one_step_bucket import Break, Step

STATUSES = [*range(300, 309), *range(400, 600)]
PASSING = {408, 421, 423, 425, 429, *range(500, 600)}

KEYS_OR_CLOCK = [
    "InvalidAccessKeyId",
    "ExpiredToken",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "AllAccessDisabled",
    "AccountProblem",
    "Unauthorized",
]
WRONG_BUCKET = ["NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidBucketName"]
PASSING_WORDS = ["SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "ServerBusy"]


def document(code: str) -> bytes:
    return f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>'.encode() if code else b""


def from_source(asked: Asked, status: int, code: str = "") -> SourceError:
    r2_key = "" if asked is Asked.LIST else "a.mp4"
    head = Head.of(status, {})
    return error_of(head, document(code), asked=asked, bucket="media", r2_key=r2_key, now=0.0)


def from_destination(status: int, code: str = "") -> AttemptError:
    return read_refusal(status, document(code), bucket="media", key="a.mp4", retry_after=None, now=0.0)


def what_becomes(error: AttemptError) -> str:
    if isinstance(error, SourceError) and error.blame is Blame.UNSURE and error.permanent:
        return "probe"
    if error.permanent:
        return "failed"
    return "retried" if error.counts else "kept"


def from_object(status: int) -> str:
    named = {401: "kept", 403: "probe", 404: "probe", 410: "probe", 413: "probe"}
    return named.get(status, "kept" if status in REDIRECTS else "retried")


REDIRECTS = {301, 302, 303, 305, 306, 307, 308}
"""A redirect is not followed: another host is another bucket."""


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_of_the_bucket_costs_a_job_only_what_it_says_of_the_object(status: int) -> None:
    outcomes = {asked: what_becomes(from_source(asked, status)) for asked in Asked}
    assert outcomes[Asked.OBJECT] == from_object(status)
    kept = status == 401 or status in REDIRECTS
    assert outcomes[Asked.REST] == ("kept" if kept else "retried")
    assert outcomes[Asked.LIST] == ("retried" if status in PASSING else "kept")
    if status in PASSING:
        assert {from_source(asked, status).code for asked in Asked} == {ErrorCode.SOURCE_UNAVAILABLE}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_of_a_destination_bucket_fails_no_job_but_one_that_is_too_large(status: int) -> None:
    kept = status in {401, 429} or status in REDIRECTS
    assert what_becomes(from_destination(status)) == ("failed" if status == 413 else "kept" if kept else "retried")


@pytest.mark.parametrize("code", [*KEYS_OR_CLOCK, *WRONG_BUCKET])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 301])
def test_what_is_wrong_with_keys_clock_or_bucket_is_charged_to_no_job(status: int, code: str) -> None:
    for asked in Asked:
        assert from_source(asked, status, code).blame is Blame.BUCKET
    refused = from_destination(status, code)
    assert (refused.counts, refused.permanent, getattr(refused, "pauses_destination", None)) == (False, False, True)


@pytest.mark.parametrize("code", PASSING_WORDS)
@pytest.mark.parametrize("status", [200, 400, 403, 409, 500, 503])
def test_trouble_that_passes_is_never_permanent_whatever_the_status(status: int, code: str) -> None:
    for asked in Asked:
        error = from_source(asked, status, code)
        assert (error.code, error.permanent) == (ErrorCode.SOURCE_UNAVAILABLE, False)
    assert not from_destination(status, code).permanent


@pytest.mark.parametrize("code", ["AccessDenied", "SignatureDoesNotMatch", "InvalidRequest", "InvalidURI"])
def test_a_refusal_that_may_be_of_one_key_alone_is_looked_into(code: str) -> None:
    assert from_source(Asked.OBJECT, 403, code).blame is Blame.UNSURE
    assert not from_source(Asked.REST, 403, code).permanent


@pytest.mark.parametrize("code", ["InvalidObjectState", "KeyTooLongError"])
def test_what_is_wrong_with_the_object_fails_its_job_with_the_reason(code: str) -> None:
    error = from_source(Asked.OBJECT, 403, code)
    assert (error.code, error.permanent) == (ErrorCode.SOURCE_REFUSED, True)
    assert code in error.message


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchVersion"])
def test_a_missing_object_fails_its_job_by_the_words_of_a_first_get_alone(code: str) -> None:
    missing = from_source(Asked.OBJECT, 404, code)
    assert (missing.code, missing.permanent, missing.blame) == (ErrorCode.SOURCE_NOT_FOUND, True, Blame.OBJECT)
    for asked in (Asked.HEAD, Asked.REST):
        assert not from_source(asked, 404, code).permanent


@pytest.mark.parametrize("status", STATUSES)
def test_a_head_is_a_verdict_on_no_object(status: int) -> None:
    assert not from_source(Asked.HEAD, status).permanent


PASSING_4XX = {408, 421, 423, 425, 429}
REFUSALS = {*range(400, 500)} - PASSING_4XX
OUTAGE = {*PASSING_4XX, *range(500, 600)}
BROKEN = {Break.REFUSED, Break.RESET, Break.CLOSED_IN_HEAD, Break.CLOSED_IN_BODY, Break.SILENCE}

Faults = Iterable[int | Break]


@frozen
class Row:
    """What becomes of a job at one step, by the fault. `failed` are the only faults that are permanent."""

    failed: Faults = ()
    tried_again: Faults = ()
    outlasts: Faults = ()
    kept: Faults = ()
    done: Faults = ()

    def outcomes(self) -> Mapping[int | Break, Outcome]:
        named = {
            Outcome.FAILED: self.failed,
            Outcome.TRIED_AGAIN: self.tried_again,
            Outcome.OUTLASTS: self.outlasts,
            Outcome.KEPT: self.kept,
            Outcome.DONE: self.done,
        }
        return {fault: outcome for outcome, faults in named.items() for fault in faults}


OF_THE_OBJECT = {403, 404, 410, 413}
"""To a first GET, in a bucket whose other objects can be read: denied, missing, too large."""

TABLE = {
    Step.FIRST_GET: Row(failed=OF_THE_OBJECT, tried_again=REFUSALS - OF_THE_OBJECT, outlasts={*OUTAGE, *BROKEN}),
    Step.REOPEN: Row(outlasts={*range(400, 600), *BROKEN}),
    Step.HEAD: Row(tried_again=REFUSALS, outlasts={*OUTAGE, *BROKEN} - {Break.CLOSED_IN_BODY}),
    Step.HEAD_FOR_LENGTH: Row(done={*range(400, 600), *BROKEN} - {Break.CLOSED_IN_BODY}),
    Step.LIST: Row(kept={*range(400, 600), *BROKEN}),
    Step.INITIATE: Row(kept={*REFUSALS, 429}, outlasts={*OUTAGE, *BROKEN} - {429}),
    Step.PART: Row(
        failed={413},
        kept={401, 429},
        tried_again={*REFUSALS, Break.SILENCE} - {401, 413},
        outlasts={*OUTAGE, *BROKEN} - {429, Break.CLOSED_IN_BODY, Break.SILENCE},
        done={Break.CLOSED_IN_BODY},  # the part's ETag had come
    ),
    Step.COMPLETE: Row(
        kept={401, 429},
        tried_again={*REFUSALS, Break.SILENCE} - {401},
        outlasts={*OUTAGE, *BROKEN} - {429, Break.SILENCE},
    ),
    Step.PUT: Row(
        failed={413},
        kept={401, 429},
        tried_again={*REFUSALS, Break.SILENCE} - {401, 413},
        outlasts={*OUTAGE, *BROKEN} - {429, Break.CLOSED_IN_BODY, Break.SILENCE},
        done={Break.CLOSED_IN_BODY},  # the object's ETag had come
    ),
}
"""One step goes wrong and all others are well. A HEAD has no body to break in. An upload whose answer does not come is
tried again after five minutes each time, so that its attempts last for longer than a quarter of an hour, too."""

EVERYWHERE = {
    Step.FIRST_GET: Row(kept={*range(400, 600), *BROKEN} - {Break.CLOSED_IN_BODY}),
    Step.PUT: Row(
        failed={413},
        kept={*REFUSALS, 429} - {413},
        outlasts={*OUTAGE, Break.REFUSED, Break.RESET, Break.CLOSED_IN_HEAD} - {429},
    ),
}
"""Every step of the source, or of the destination, goes wrong alike: it is no job's fault."""


async def what_became(step: Step, folder: Path, faults: Faults, *, everywhere: bool) -> dict[int | Break, Outcome]:
    async with one_step_world(step, folder) as world:
        return {fault: outcome_of(await world.attempt(fault, everywhere=everywhere)) for fault in faults}


@pytest.mark.parametrize("step", Step)
def test_one_bad_answer_or_broken_connection_costs_a_job_no_more_than_the_table_says(
    step: Step, tmp_path: Path
) -> None:
    expected = TABLE[step].outcomes()
    assert {*range(400, 600)} < {*expected}

    async def main() -> dict[int | Break, Outcome]:
        return await what_became(step, tmp_path, expected, everywhere=False)

    assert trio.run(main, clock=brisk_clock()) == expected


@pytest.mark.parametrize("step", EVERYWHERE)
def test_a_bucket_that_answers_everything_alike_costs_no_job_its_life(step: Step, tmp_path: Path) -> None:
    expected = EVERYWHERE[step].outcomes()

    async def main() -> dict[int | Break, Outcome]:
        return await what_became(step, tmp_path, expected, everywhere=True)

    assert trio.run(main, clock=brisk_clock()) == expected


@pytest.mark.parametrize("step", [Step.PART, Step.COMPLETE, Step.PUT])
def test_an_upload_that_is_not_answered_is_waited_for_so_long_that_its_job_outlasts_an_outage(
    step: Step, tmp_path: Path
) -> None:
    async def main() -> float:
        async with one_step_world(step, tmp_path) as world:
            await world.attempt(Break.SILENCE)
            return trio.current_time()

    assert trio.run(main, clock=brisk_clock()) >= COMPLETE_S
