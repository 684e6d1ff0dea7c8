"""What thousands of jobs would lose to one answer of a bucket: for every status and every question, what becomes of the
job (faults 34 to 36). Nothing outside a short list of named answers is permanent."""

from __future__ import annotations

import pytest

from streamwarm.errors import AttemptError, Blame, ErrorCode, SourceError
from streamwarm.fetch.answers import Asked, Head, error_of
from streamwarm.send.s3.answers import read_refusal

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
