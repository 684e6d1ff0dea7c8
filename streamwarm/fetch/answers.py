"""Turns S3's answers (heads, errors, listings) into values or `SourceError`s. Pure: no socket, no clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from enum import Enum, auto
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from attrs import frozen

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.source import ListedObject, ObjectInfo, ObjectVersion
from streamwarm.redact import knows_no_secrets
from streamwarm.retry import parse_http_date, parse_retry_after
from streamwarm.s3.verdicts import REMEDIES, Verdict, verdict_on
from streamwarm.s3.xml import parse_xml, read_error, tag, text
from streamwarm.warm_record import bare_etag

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""How much of an answer is read as XML. S3 lists at most 1000 keys per page, each at most 1024 bytes, which
percent-encoding triples: some 3.5 MB with the other fields."""

MAX_HEADER_CHARS = 1024
"""The longest ETag and content type that are kept. S3's ETags have under 50 characters. A media type
has at most 255 without its parameters (RFC 6838, section 4.2)."""

MAX_TOKEN_CHARS = 4096
"""The longest continuation token that is sent back, in a URL. R2's and S3's have some hundred characters."""

_OF_THE_OBJECT = frozenset({Verdict.UNFIT, Verdict.TOO_LARGE, Verdict.INVALID, Verdict.DENIED, Verdict.KEY_REFUSED})
"""Refusals that stay the same whenever one asks, once it is sure that they are not about the bucket."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


@frozen
class ListPage:
    """Up to 1000 objects. `next_token` requests the next page; it is None on the last."""

    objects: tuple[ListedObject, ...]
    next_token: str | None


@frozen
class ContentRange:
    """A parsed `Content-Range: bytes start-end/total`; the end is inclusive."""

    start: int
    end: int
    total: int


@frozen
class Head:
    """The parts of an answer's head that are used here. `length_bytes` is None if none is given (chunked)."""

    status: int
    length_bytes: int | None
    etag: str | None
    content_type: str | None
    content_encoding: str | None
    content_range: ContentRange | None
    retry_after: str | None
    is_chunked: bool = False
    last_modified: str | None = None

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Head:
        """Read a head. `headers` has lower-case names. Values that make no sense count as absent."""
        length = headers.get("content-length", "")
        return cls(
            status=status,
            length_bytes=int(length) if re.fullmatch(r"\d{1,19}", length, re.ASCII) else None,
            etag=_short(headers.get("etag")),
            content_type=_short(headers.get("content-type")),
            content_encoding=_stored_encoding(headers.get("content-encoding", "")),
            content_range=parse_content_range(headers.get("content-range", "")),
            retry_after=headers.get("retry-after"),
            is_chunked=headers.get("transfer-encoding", "").strip().lower() == "chunked",
            last_modified=_short(headers.get("last-modified")),
        )

    def info(self, r2_key: str, size_bytes: int, *, seen_at: float | None = None) -> ObjectInfo:
        return ObjectInfo(r2_key, size_bytes, self.etag, self.content_type, self.content_encoding, seen_at)

    @property
    def version(self) -> ObjectVersion:
        etag = bare_etag(self.etag)
        return ObjectVersion(etag or None, parse_http_date(self.last_modified or ""))


def _short(value: str | None) -> str | None:
    """The value, or None if it is too long: it would be kept with every job of the object."""
    return value if value and len(value) <= MAX_HEADER_CHARS else None


def parse_content_range(text: str) -> ContentRange | None:
    match = _CONTENT_RANGE.fullmatch(text.strip())
    return ContentRange(*map(int, match.groups())) if match else None


def is_strong(etag: str | None) -> bool:
    """Whether equal ETags mean equal bytes (RFC 9110, section 8.8.3) and this one can be sent back.

    `If-Match` never matches a weak one, and the encoding of a header's text beyond ASCII is unknown.
    """
    return etag is not None and not etag.startswith("W/") and re.fullmatch("[!-~]+", etag) is not None


def is_same_version(one: str | None, other: str | None) -> bool:
    """Whether two ETags name the same object, as HTTP's weak comparison has it (RFC 9110, section 8.8.3.2).

    A proxy that may compress an answer makes its ETag weak.
    """
    if one is None or other is None:
        return one is other
    return one.removeprefix("W/") == other.removeprefix("W/")


class Asked(Enum):
    """What was asked for. Only a first, plain GET is a verdict on the object."""

    OBJECT = auto()
    READABLE = auto()
    """An object that could be read at some time, so its key is not odd."""

    REST = auto()
    """The rest of an object, by `Range` and `If-Match`."""

    HEAD = auto()
    LIST = auto()
    PUT = auto()


def bucket_refused(message: str) -> SourceError:
    """The bucket refuses every request alike, so no job is at fault."""
    return SourceError(ErrorCode.SOURCE_REFUSED, message, permanent=False, counts=False, blame=Blame.BUCKET)


def list_refused(message: str) -> SourceError:
    """The bucket cannot be listed. That says nothing about reading it."""
    return SourceError(ErrorCode.SOURCE_REFUSED, message, permanent=False, counts=False, blame=Blame.UNSURE)


def error_of(
    head: Head,
    body: bytes,
    *,
    asked: Asked,
    bucket: str,
    r2_key: str,
    now: float,
    redact: Callable[[str], str] = knows_no_secrets,
) -> SourceError:
    """Return the error for an answer with another status than expected. `body` may be empty (HEAD) or cut off.
    `redact` masks the secrets in its words."""
    code, detail = read_error(body, redact)
    what = f"object {r2_key!r} in bucket {bucket!r}" if r2_key else f"bucket {bucket!r}"
    said = f"the server answered {head.status}" + (f" {code}" if code else "") + f" for {what}"
    retry_after_s = parse_retry_after(head.retry_after, now=now)
    refused = f"{said}{detail}; {_remedy(head.status, code)}"
    first_get = asked in {Asked.OBJECT, Asked.READABLE, Asked.PUT}
    match verdict_on(head.status, code):
        case Verdict.PASSING | Verdict.SLOW_DOWN:
            return SourceError(
                ErrorCode.SOURCE_UNAVAILABLE, f"{said}; it will be asked again", retry_after_s=retry_after_s
            )
        case _ if code == "NoSuchBucket":
            return bucket_refused(f"there is no bucket {bucket!r}; check r2.bucket and r2.endpoint_url")
        # A server that tidies paths refuses the signature of odd keys alone.
        case Verdict.KEY_REFUSED | Verdict.WRONG_BUCKET if code != "SignatureDoesNotMatch" or asked is not Asked.OBJECT:
            return bucket_refused(refused)
        case Verdict.DENIED if asked is Asked.LIST:  # a key may read and not list
            return list_refused(refused)
        case _ if asked is Asked.LIST:  # no object is asked for
            return bucket_refused(refused)
        case Verdict.REPLACED if asked is Asked.REST:
            return SourceError(ErrorCode.SOURCE_CHANGED, f"{what} was replaced while it was read")
        case Verdict.MISSING if asked is Asked.REST:
            return SourceError(ErrorCode.SOURCE_CHANGED, f"{what} was removed while it was read")
        case Verdict.MISSING:
            return _missing(what, has_s3_code=bool(code), permanent=first_get)
        case verdict:
            permanent = first_get and verdict in _OF_THE_OBJECT
            blame = Blame.OBJECT if verdict is Verdict.UNFIT or not first_get else Blame.UNSURE
            return SourceError(
                ErrorCode.SOURCE_REFUSED, refused, permanent=permanent, retry_after_s=retry_after_s, blame=blame
            )


def _missing(what: str, *, has_s3_code: bool, permanent: bool) -> SourceError:
    """Without S3's error code, the answer may be another server's."""
    message = f"there is no {what}; upload it, or push the key as the bucket lists it"
    blame = Blame.OBJECT if has_s3_code else Blame.UNSURE
    return SourceError(ErrorCode.SOURCE_NOT_FOUND, message, permanent=permanent, blame=blame)


def parse_list_page(body: bytes) -> ListPage:
    """Read a ListObjectsV2 answer (`encoding-type=url`). Raises `SourceError` for anything else."""
    root = parse_xml(body)
    if root is None or tag(root) != "ListBucketResult":
        raise _bad_listing("it is not a ListBucketResult")
    encoded = text(root, "EncodingType") == "url"
    entries = (_listed(item, encoded=encoded) for item in root if tag(item) == "Contents")
    objects = tuple(entry for entry in entries if entry is not None)
    token = text(root, "NextContinuationToken")
    if text(root, "IsTruncated") != "true":
        return ListPage(objects, None)
    if not 0 < len(token) <= MAX_TOKEN_CHARS:
        raise _bad_listing("it is cut short and names no usable continuation token")
    return ListPage(objects, token)


def _listed(item: Element, *, encoded: bool) -> ListedObject | None:
    """None for an entry without a key, which names nothing."""
    key, size = text(item, "Key"), text(item, "Size")
    if not key:
        return None
    # S3 writes a space as `+` and a plus as `%2B` here, as HTML forms do.
    size_bytes = int(size) if re.fullmatch(r"\d{1,19}", size, re.ASCII) else None
    r2_key = unquote_plus(key) if encoded else key
    return ListedObject(r2_key, size_bytes, text(item, "ETag"), _unix_time(text(item, "LastModified")))


def _unix_time(written: str) -> float | None:
    """The Unix seconds of `2009-10-12T17:50:30.000Z`, None for anything else."""
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(written)
        return None if at.tzinfo is None else at.timestamp()
    return None


def _stored_encoding(text: str) -> str | None:
    """The encodings an object is stored with; None for none.

    `aws-chunked` is how an upload travels, not how an object is stored. Careless servers
    keep it, strict ones refuse it.
    """
    words = [word.strip() for word in text.lower().split(",")]
    return ", ".join(word for word in words if word not in {"", "identity", "aws-chunked"}) or None


def _bad_listing(why: str) -> SourceError:
    return list_refused(f"the bucket's listing can't be read: {why}; check that r2.endpoint_url is an S3 API")


def _remedy(status: int, code: str) -> str:
    if code in REMEDIES:
        return re.sub(r"\b(?=(?:access_key_id|secret_access_key|region|endpoint_url|bucket)\b)", "r2.", REMEDIES[code])
    if 300 <= status < 400:
        return "a redirect is not followed; check r2.endpoint_url and r2.region"
    if status in {401, 403}:
        return "check the access key, its permissions and this host's clock"
    if status == 404:
        return "check r2.endpoint_url and r2.bucket"
    return "check the key and r2.endpoint_url"
