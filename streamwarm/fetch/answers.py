"""Turns S3's answers (heads, errors, listings) into values or `SourceError`s. Pure: no socket, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from attrs import frozen

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import ObjectInfo
from streamwarm.retry import parse_retry_after
from streamwarm.s3.xml import parse_xml, read_error, tag, text

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""How much of an answer is read as XML. S3 lists at most 1000 keys per page, each at most 1024 bytes, which
percent-encoding triples: some 3.5 MB with the other fields."""

MAX_TOKEN_CHARS = 4096
"""The longest continuation token that is sent back, in a URL. R2's and S3's have some hundred characters."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_BUSY_CODES = frozenset({"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "TooManyRequests"})

_REMEDIES = {
    "SignatureDoesNotMatch": "check r2.secret_access_key and r2.region",
    "InvalidAccessKeyId": "check r2.access_key_id",
    "RequestTimeTooSkewed": "this host's clock is wrong; set it (NTP)",
    "AccessDenied": "give the access key read and list permission on this bucket",
    "Unauthorized": "check r2.access_key_id and r2.secret_access_key",
    "InvalidObjectState": "the object is archived; restore it first",
}

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


@frozen
class ListedObject:
    """One object in a listing."""

    r2_key: str
    bytes: int
    etag: str


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

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Head:
        """Read a head. `headers` has lower-case names. Values that make no sense count as absent."""
        length = headers.get("content-length", "")
        encoding = headers.get("content-encoding", "").strip().lower()
        return cls(
            status=status,
            length_bytes=int(length) if re.fullmatch(r"\d{1,19}", length, re.ASCII) else None,
            etag=headers.get("etag") or None,
            content_type=headers.get("content-type") or None,
            content_encoding=encoding if encoding not in {"", "identity"} else None,
            content_range=parse_content_range(headers.get("content-range", "")),
            retry_after=headers.get("retry-after"),
        )

    def info(self, r2_key: str, size_bytes: int) -> ObjectInfo:
        return ObjectInfo(r2_key, size_bytes, self.etag, self.content_type, self.content_encoding)


def parse_content_range(text: str) -> ContentRange | None:
    match = _CONTENT_RANGE.fullmatch(text.strip())
    return ContentRange(*map(int, match.groups())) if match else None


def is_strong(etag: str | None) -> bool:
    """Whether equal ETags mean equal bytes (RFC 9110, section 8.8.3) and this one can be sent back.

    `If-Match` never matches a weak one, and the encoding of a header's text beyond ASCII is unknown.
    """
    return etag is not None and not etag.startswith("W/") and re.fullmatch("[!-~]+", etag) is not None


def error_of(head: Head, body: bytes, *, bucket: str, r2_key: str, now: float) -> SourceError:
    """Return the error for an answer with another status than expected. `body` may be empty (HEAD) or cut off."""
    code, detail = read_error(body)
    what = f"object {r2_key!r} in bucket {bucket!r}" if r2_key else f"bucket {bucket!r}"
    said = f"the server answered {head.status}" + (f" {code}" if code else "") + f" for {what}"
    if code == "NoSuchBucket":
        return SourceError(ErrorCode.SOURCE_REFUSED, f"there is no bucket {bucket!r}; check r2.bucket")
    if head.status == 404 and r2_key:
        return SourceError(
            ErrorCode.SOURCE_NOT_FOUND,
            f"there is no {what}; upload it, or push the key as the bucket lists it",
        )
    if head.status in {412, 416}:
        return SourceError(ErrorCode.SOURCE_CHANGED, f"{what} was replaced while it was read")
    if head.status in _BUSY or code in _BUSY_CODES:
        return SourceError(
            ErrorCode.SOURCE_UNAVAILABLE,
            f"{said}; it will be asked again",
            retry_after_s=parse_retry_after(head.retry_after, now=now),
        )
    return SourceError(ErrorCode.SOURCE_REFUSED, f"{said}{detail}; {_remedy(head.status, code)}")


def parse_list_page(body: bytes) -> ListPage:
    """Read a ListObjectsV2 answer (`encoding-type=url`). Raises `SourceError` for anything else."""
    root = parse_xml(body)
    if root is None or tag(root) != "ListBucketResult":
        raise _bad_listing("it is not a ListBucketResult")
    encoded = text(root, "EncodingType") == "url"
    objects = tuple(_listed(item, encoded=encoded) for item in root if tag(item) == "Contents")
    token = text(root, "NextContinuationToken")
    if text(root, "IsTruncated") != "true":
        return ListPage(objects, None)
    if not 0 < len(token) <= MAX_TOKEN_CHARS:
        raise _bad_listing("it is cut short and names no usable continuation token")
    return ListPage(objects, token)


def _listed(item: Element, *, encoded: bool) -> ListedObject:
    key, size = text(item, "Key"), text(item, "Size")
    if not key or not re.fullmatch(r"\d{1,19}", size, re.ASCII):
        raise _bad_listing("an entry has no key or no size")
    # S3 writes a space as `+` and a plus as `%2B` here, as HTML forms do.
    return ListedObject(unquote_plus(key) if encoded else key, int(size), text(item, "ETag"))


def _bad_listing(why: str) -> SourceError:
    return SourceError(
        ErrorCode.SOURCE_REFUSED,
        f"the bucket's listing can't be read: {why}; check that r2.endpoint_url is an S3 API",
    )


def _remedy(status: int, code: str) -> str:
    if code in _REMEDIES:
        return _REMEDIES[code]
    if 300 <= status < 400:
        return "a redirect is not followed; check r2.endpoint_url and r2.region"
    if status in {401, 403}:
        return "check the access key, its permissions and this host's clock"
    if status == 404:
        return "check r2.endpoint_url and r2.bucket"
    return "check the key and r2.endpoint_url"
