"""Turns a bucket's answers to an upload into values or `DestinationError`s, and cuts a large object into parts.
Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from attrs import frozen

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.redact import knows_no_secrets
from streamwarm.retry import parse_retry_after
from streamwarm.s3.bounds import MIB, MOST_PARTS
from streamwarm.s3.verdicts import REMEDIES, Verdict, verdict_on
from streamwarm.s3.xml import parse_xml, read_error, tag, text
from streamwarm.send.destination import MAX_REFERENCE_CHARS, UNAUTHORIZED_PAUSE_S

RATE_LIMITED_S = 2.0
"""The pause after a 429 or SlowDown without a Retry-After. R2 answers 429 to more than one write per second to a
key."""

_THEN = "then restart, or `streamwarm resume` the destination"
"""What ends a pause at once when its cause is fixed: a restart if that was in the settings."""

_PLAIN_KEY = re.compile(r"(?!.*(^|/)(\.{0,2})(/|$))[A-Za-z0-9/_.-]+|")
"""A key that no server changes: without empty or dot segments, and without characters that a path must encode."""


def part_sizes(total_bytes: int, part_bytes: int) -> list[int]:
    """Return the sizes of the parts: equal but for the last, as R2 requires, and larger than `part_bytes` if 10,000
    parts of that size are not enough."""
    least = -(-total_bytes // MOST_PARTS)
    size = max(part_bytes, -(-least // MIB) * MIB)
    whole, rest = divmod(total_bytes, size)
    return [size] * whole + ([rest] if rest else [])


def complete_body(etags: Sequence[str]) -> bytes:
    """Return the body of CompleteMultipartUpload."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def etag_of_parts(etags: Sequence[str]) -> str | None:
    """Return the ETag that the whole object will have, or None if it can't be known: the parts' ETags are not MD5s."""
    digests = [etag.strip('"') for etag in etags]
    if not all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in digests):
        return None
    return f'"{hashlib.md5(bytes.fromhex("".join(digests)), usedforsecurity=False).hexdigest()}-{len(digests)}"'


def read_upload_id(body: bytes) -> str:
    """Return the upload's id from the answer to CreateMultipartUpload. Raises `DestinationError`."""
    return _required(body, "InitiateMultipartUploadResult", "UploadId")


def read_completed(body: bytes) -> str | None:
    """The object's ETag, from the answer to CompleteMultipartUpload; None if it has none that can be read."""
    root = parse_xml(body)
    etag = text(root, "ETag").strip() if root is not None and tag(root) == "CompleteMultipartUploadResult" else ""
    return kept_etag(etag) or None


def kept_etag(etag: str) -> str:
    """The ETag of an answer as it is stored, or an empty text if it is not an ETag."""
    return etag if len(etag) <= MAX_REFERENCE_CHARS and re.fullmatch(r"[!-~]+", etag) else ""


def is_error(body: bytes) -> bool:
    """Whether a success's body is S3's error document: S3 begins a 200 before it knows how a long step ends."""
    root = parse_xml(body)
    return root is not None and tag(root) == "Error"


def _required(body: bytes, root_tag: str, name: str) -> str:
    root = parse_xml(body)
    found = text(root, name).strip() if root is not None and tag(root) == root_tag else ""
    if not re.fullmatch(r"[!-~]{1,1024}", found):
        raise DestinationError(
            ErrorCode.DESTINATION_UNAVAILABLE,
            f"the bucket's answer has no usable {name}; check that endpoint_url is an S3 API",
        )
    return found


def read_keys(body: bytes) -> list[str]:
    """Return the keys of one page of a listing, at most 1000, or an empty list for anything else.

    The keys are our own, so they need no decoding.
    """
    root = parse_xml(body)
    if root is None or tag(root) != "ListBucketResult":
        return []
    return [text(item, "Key") for item in root if tag(item) == "Contents"]


@frozen
class Trace:
    """A note in the bucket that says which job a multipart upload in progress belongs to."""

    job_id: str
    key: str
    upload_id: str

    def to_json(self) -> bytes:
        return json.dumps({"job_id": self.job_id, "key": self.key, "upload_id": self.upload_id}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Trace | None:
        """Return the note, or None if `body` is not one."""
        try:
            found = json.loads(body)
            values = [found["job_id"], found["key"], found["upload_id"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        whole = all(isinstance(value, str) and value and not re.search("[\ud800-\udfff]", value) for value in values)
        return cls(*values) if whole else None


class UnclearRefusal(DestinationError):
    """A refusal that may be this object's or every object's: a probe of the bucket finds out (`probe.py`).

    As it is, it is the object's: it counts, or is `permanent` if its name may be invalid. `answer` has the status
    and S3's word: a bucket that gives the same answer for another key refuses everything alike. `denied`: it is about
    permission to write, which a probe needs, too.
    """

    def __init__(self, message: str, answer: tuple[int, str], *, denied: bool = False, permanent: bool = False) -> None:
        super().__init__(ErrorCode.DESTINATION_REFUSED, message, permanent=permanent)
        self.answer = answer
        self.denied = denied

    def of_the_bucket(self) -> DestinationError:
        """Return this refusal as one that every object meets: it pauses the destination."""
        return _pausing(self.code, f"{self.message}, {_THEN}")


def read_refusal(
    status: int,
    body: bytes,
    *,
    bucket: str,
    key: str,
    retry_after: str | None,
    now: float,
    carried_object: bool = True,
    redact: Callable[[str], str] = knows_no_secrets,
) -> DestinationError:
    """Return the error for a refusal. `now` is Unix seconds; `body` may be empty or cut off. `redact` masks it.

    `carried_object`: the request had bytes of the object in it. Only what is wrong with the object itself is permanent:
    too large, or a name that the bucket cannot have.
    """
    code, detail = read_error(body, redact)
    what = f"{key[:200]!r} in bucket {bucket!r}" if key else f"bucket {bucket!r}"
    said = f"the bucket answered {status}{f' {code}' if code else ''} for {what}"
    retry_after_s = parse_retry_after(retry_after, now=now)
    match verdict_on(status, code):
        case Verdict.SLOW_DOWN:
            return _slow_down(said, retry_after_s)
        case Verdict.PASSING:
            pauses = bool(retry_after_s)
            return DestinationError(
                ErrorCode.DESTINATION_UNAVAILABLE, said, retry_after_s=retry_after_s, pauses_destination=pauses
            )
        case _ if code == "NoSuchUpload":  # a lifecycle rule took it, or another process: the next attempt begins anew
            return DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, said)
        case Verdict.KEY_REFUSED if code == "SignatureDoesNotMatch" and not _PLAIN_KEY.fullmatch(key):
            # It may be the name: a server that tidies paths signs another. Such an object must not stop all the others.
            check_name = "and whether the server keeps such names as they are"
            return UnclearRefusal(f"{said}; {_remedy(status, code)}, {check_name}", (status, code), denied=True)
        case Verdict.KEY_REFUSED:
            return _pausing(ErrorCode.UNAUTHORIZED, f"{said}; {_remedy(status, code)}, {_THEN}")
        case Verdict.WRONG_BUCKET:
            return _pausing(ErrorCode.DESTINATION_REFUSED, f"{said}{detail}; {_remedy(status, code)}, {_THEN}")
        case Verdict.TOO_LARGE if carried_object or code:
            return DestinationError(ErrorCode.TOO_LARGE, f"{said}; a larger object needs a smaller part_bytes")
        case verdict:
            return _refused(f"{said}{detail}; {_remedy(status, code)}", verdict, key, (status, code))


def _refused(message: str, verdict: Verdict, key: str, answer: tuple[int, str]) -> DestinationError:
    if verdict is Verdict.UNFIT:
        return DestinationError(ErrorCode.DESTINATION_REFUSED, message, permanent=True)
    is_of_the_key = verdict is Verdict.INVALID and not _PLAIN_KEY.fullmatch(key)
    return UnclearRefusal(message, answer, denied=verdict is Verdict.DENIED, permanent=is_of_the_key)


def _slow_down(said: str, retry_after_s: float | None) -> DestinationError:
    return DestinationError(
        ErrorCode.RATE_LIMITED,
        said,
        retry_after_s=max(retry_after_s or 0.0, RATE_LIMITED_S),
        counts=False,
        # Without a time it is that one key which was written too often.
        pauses_destination=bool(retry_after_s),
    )


def _pausing(code: ErrorCode, message: str) -> DestinationError:
    """A refusal that every object would meet: the destination pauses, and no attempt is used."""
    return DestinationError(
        code, message, permanent=False, retry_after_s=UNAUTHORIZED_PAUSE_S, counts=False, pauses_destination=True
    )


def _remedy(status: int, code: str) -> str:
    if code in REMEDIES:
        return REMEDIES[code]
    if 300 <= status < 400:
        return "a redirect is not followed; check endpoint_url and region"
    if status == 401:
        return "check access_key_id and secret_access_key"
    if status == 403:
        return "give the access key write permission on this bucket"
    return "check endpoint_url, bucket and key"
