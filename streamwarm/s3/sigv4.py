"""AWS Signature Version 4 for S3, as a pure function of a request, credentials and the time.

Theory. The client and the server each write the request in one canonical form (method, path, query, chosen headers,
payload hash), hash it, and HMAC the hash with a key that both derive from the secret, the UTC date, the region and the
service. The server refuses the request if the results differ, so the path and the query that are signed must be, byte
for byte, those that are sent. For S3 the path is percent-encoded exactly once, `/` is kept, and nothing is normalized:
`..`, `.` and `//` are ordinary characters of an object's key. HTTP libraries do normalize them, which is why
`S3Request.target` exists: the connection sends it as it is, without a URL parser in between. This also makes hostile
keys harmless: if a proxy normalizes the path, the signature fails, and the answer is a refusal instead of another
object.

Reference: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from attrs import define, field, frozen

from streamwarm.watch.observations import Observer, SigningKeyDerived, unobserved

_SIGNATURE = re.compile(r"\bSignature=([0-9a-f]{64})\b")

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""The payload hash of a body that is not hashed beforehand, which TLS protects. R2 accepts it, but not
`aws-chunked`."""

EMPTY_PAYLOAD = hashlib.sha256(b"").hexdigest()

KEY_TTL_S = 82_800.0
"""How long a key is kept: 23 h. A key is valid for one UTC day, so it is derived about once a day."""

MAX_KEYS = 64
"""The most keys that are kept: one per bucket and day, and a service has a handful of buckets."""

LONGEST_PRESIGN_S = 604_800
"""Seven days: S3 refuses a longer `X-Amz-Expires`."""


@frozen
class S3Request:
    """A request to sign and send.

    `host` is the `Host` header as it is sent, with the port unless it is the scheme's default. `path` is already
    encoded (`object_path`), the pairs of `query` are not. `headers` are signed and sent, together with those that
    signing adds.
    """

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(factory=dict)
    payload_hash: str = EMPTY_PAYLOAD

    @property
    def target(self) -> bytes:
        """The request target, byte for byte as it is sent."""
        return _target(self.path, canonical_query(self.query))


@define(eq=False)
class SigningKeys:
    """Derived signing keys, at most `max_keys` of them. Each is kept for `key_ttl_s` seconds and never used on another
    UTC date."""

    key_ttl_s: float = KEY_TTL_S
    max_keys: int = MAX_KEYS
    _observe: Observer = field(default=unobserved, alias="observe", repr=False)
    _keys: OrderedDict[tuple[str, str, str, str], tuple[bytes, float]] = field(
        factory=OrderedDict, init=False, repr=False
    )

    def key(self, secret_access_key: str, *, date: str, region: str, service: str, now: float) -> bytes:
        """Return the key for a date (`YYYYMMDD`, UTC), and derive it if none is kept. `now` is Unix seconds."""
        scope = (secret_access_key, date, region, service)
        kept = self._keys.get(scope)
        if kept is not None and 0 <= now - kept[1] < self.key_ttl_s:
            self._keys.move_to_end(scope)
            return kept[0]
        key = derive_key(secret_access_key, date=date, region=region, service=service)
        self._keys[scope] = (key, now)
        self._keys.move_to_end(scope)
        while len(self._keys) > self.max_keys:
            self._keys.popitem(last=False)
        self._observe(SigningKeyDerived(date))
        return key


@frozen
class Signer:
    """Signs requests for one set of credentials. Cloudflare R2's region is always `auto`."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    keys: SigningKeys = field(repr=False)
    region: str = "auto"
    service: str = SERVICE

    def headers(self, request: S3Request, *, now: float) -> dict[str, str]:
        """Return every header to send: the request's own, `Host`, `x-amz-*` and `Authorization`. `now` is Unix
        seconds."""
        amz_date = _amz_date(now)
        headers = {
            **{name.lower(): value for name, value in request.headers.items()},
            "host": request.host,
            "x-amz-content-sha256": request.payload_hash,
            "x-amz-date": amz_date,
        }
        query = canonical_query(request.query)
        signature = self._signature(
            _canonical(request, query, headers, request.payload_hash), amz_date=amz_date, now=now
        )
        credential = f"{self.access_key_id}/{self._scope(amz_date)}"
        signed = _signed_headers(headers)
        headers["authorization"] = f"{ALGORITHM} Credential={credential},SignedHeaders={signed},Signature={signature}"
        return headers

    def presigned_target(self, request: S3Request, *, expires_s: int, now: float) -> bytes:
        """Return the request target of a URL that works without credentials for `expires_s` seconds. It is a secret.

        The payload is unsigned. Raises `ValueError` unless `expires_s` is 1 to 604800.
        """
        if not 1 <= expires_s <= LONGEST_PRESIGN_S:
            raise ValueError(f"expires_s is {expires_s}; a presigned URL lives 1 to {LONGEST_PRESIGN_S} seconds")
        amz_date = _amz_date(now)
        headers = {**{name.lower(): value for name, value in request.headers.items()}, "host": request.host}
        query = (
            *request.query,
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", f"{self.access_key_id}/{self._scope(amz_date)}"),
            ("X-Amz-Date", amz_date),
            ("X-Amz-Expires", str(expires_s)),
            ("X-Amz-SignedHeaders", _signed_headers(headers)),
        )
        encoded = canonical_query(query)
        canonical = _canonical(request, encoded, headers, UNSIGNED_PAYLOAD)
        signature = self._signature(canonical, amz_date=amz_date, now=now)
        return _target(request.path, f"{encoded}&X-Amz-Signature={signature}")

    def _scope(self, amz_date: str) -> str:
        return f"{amz_date[:8]}/{self.region}/{self.service}/aws4_request"

    def _signature(self, canonical: str, *, amz_date: str, now: float) -> str:
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = "\n".join((ALGORITHM, amz_date, self._scope(amz_date), digest))
        key = self.keys.key(
            self.secret_access_key, date=amz_date[:8], region=self.region, service=self.service, now=now
        )
        return hmac.digest(key, to_sign.encode(), "sha256").hex()


def signatures_in(authorization: str) -> tuple[str, ...]:
    """Return the signature in an Authorization header. It is a secret that is known of this request alone."""
    return tuple(_SIGNATURE.findall(authorization))


def derive_key(secret_access_key: str, *, date: str, region: str, service: str) -> bytes:
    """Return the 32-byte signing key for one UTC date (`YYYYMMDD`), region and service: four nested HMACs."""
    key = hmac.digest(b"AWS4" + secret_access_key.encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def uri_encode(text: str, *, keep_slash: bool = False) -> str:
    """Percent-encode as S3 does: UTF-8, upper-case hex, everything but `A-Z a-z 0-9 - . _ ~` and, with `keep_slash`,
    `/`.

    Raises `UnicodeEncodeError` for text that is not valid Unicode (a lone surrogate).
    """
    return quote(text, safe="/" if keep_slash else "")


def object_path(bucket: str, r2_key: str = "") -> str:
    """Return the encoded path-style path of an object, or of the bucket itself if the key is empty."""
    path = f"/{uri_encode(bucket)}"
    return f"{path}/{uri_encode(r2_key, keep_slash=True)}" if r2_key else path


def canonical_query(query: tuple[tuple[str, str], ...]) -> str:
    """Return the query string, encoded and sorted, as it is signed and sent."""
    pairs = sorted((uri_encode(name), uri_encode(value)) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _canonical(request: S3Request, query: str, headers: Mapping[str, str], payload_hash: str) -> str:
    lines = "".join(f"{name}:{_canonical_value(headers[name])}\n" for name in sorted(headers))
    return "\n".join((request.method, request.path, query, lines, _signed_headers(headers), payload_hash))


def _target(path: str, query: str) -> bytes:
    return (f"{path}?{query}" if query else path).encode("ascii")


def _amz_date(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")


def _signed_headers(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(headers))


def _canonical_value(value: str) -> str:
    return " ".join(value.split())
