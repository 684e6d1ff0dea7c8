"""What a refusing answer of an S3 API means, and about what: object, key, bucket or moment. Pure.

The words are S3's (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) with those that R2, MinIO,
Ceph and SeaweedFS add. A proxy in front of the bucket answers without a word, so the status decides then.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

REMEDIES = {
    "SignatureDoesNotMatch": "check secret_access_key and region",
    "InvalidAccessKeyId": "check access_key_id",
    "ExpiredToken": "set a key that has not expired",
    "RequestTimeTooSkewed": "this host's clock is wrong; set it (NTP)",
    "RequestExpired": "this host's clock is wrong; set it (NTP)",
    "AuthorizationHeaderMalformed": "check region and access_key_id",
    "NoSuchBucket": "check bucket and endpoint_url",
    "InvalidBucketName": "check bucket",
    "PermanentRedirect": "a redirect is not followed; check endpoint_url and region",
    "InvalidRegionName": "check region",
    "InvalidObjectState": "the object is archived; restore it first",
}
"""What to do about a word, in the names of settings."""


class Verdict(Enum):
    """What is wrong."""

    MISSING = auto()
    """The object is not there."""

    REPLACED = auto()
    """The object is not the one that was asked for (`If-Match`), or has no such range."""

    UNFIT = auto()
    """The object cannot be had or stored under this name whenever one asks: archived, its name too long."""

    TOO_LARGE = auto()

    SLOW_DOWN = auto()
    """Too many requests. It passes."""

    PASSING = auto()
    """Trouble that passes."""

    KEY_REFUSED = auto()
    """The access key, its signature or this host's clock: every request is refused alike."""

    WRONG_BUCKET = auto()
    """The bucket, its region or the endpoint: every request is refused alike."""

    DENIED = auto()
    """Access was denied, to this object or to all: the answer does not say."""

    INVALID = auto()
    """The server cannot make sense of the request, for its key or for all alike."""

    UNKNOWN = auto()
    """Refused for no reason that is known here."""


_WORDS: Mapping[Verdict, tuple[str, ...]] = {
    Verdict.MISSING: (
        "NoSuchKey",
        "NoSuchVersion",
    ),
    Verdict.REPLACED: (
        "PreconditionFailed",
        "InvalidRange",
    ),
    Verdict.UNFIT: (
        "InvalidObjectState",
        "KeyTooLongError",
        "KeyTooLong",
        "XMinioInvalidObjectName",
        "InvalidObjectName",
    ),
    Verdict.TOO_LARGE: ("EntityTooLarge",),
    Verdict.SLOW_DOWN: (
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "TooManyRequests",
        "BandwidthLimitExceeded",
    ),
    Verdict.PASSING: (
        "RequestTimeout",
        "InternalError",
        "ServiceUnavailable",
        "ServerBusy",
        "OperationAborted",
        "TemporaryRedirect",
        "IncompleteBody",
        "XMinioServerNotInitialized",
    ),
    Verdict.KEY_REFUSED: (
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "RequestTimeTooSkewed",
        "RequestExpired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "IncompleteSignature",
        "MissingSecurityHeader",
        "InvalidSecurity",
        "CredentialsNotSupported",
        "Unauthorized",
        "AuthFailure",
        "AccountProblem",
        "NotSignedUp",
        "OptInRequired",
        "UserSuspended",
        "AllAccessDisabled",
        "InvalidPayer",
        "XMinioAdminCredentialsMismatch",
    ),
    Verdict.WRONG_BUCKET: (
        "NoSuchBucket",
        "InvalidBucketName",
        "InvalidBucketState",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "PermanentRedirect",
        "Redirect",
        "IllegalLocationConstraintException",
        "InvalidRegionName",
        "InvalidRegion",
    ),
    Verdict.INVALID: (
        "InvalidRequest",
        "InvalidURI",
        "InvalidArgument",
    ),
    Verdict.DENIED: (
        "AccessDenied",
        "AccountDisabled",
        "Forbidden",
    ),
}

_BY_CODE = {code: verdict for verdict, codes in _WORDS.items() for code in codes}

_PASSING_STATUSES = frozenset({408, 421, 423, 425})
"""With every 5xx. 421 and 423 are a proxy's: a connection to the wrong server, and a lock."""


def verdict_on(status: int, code: str) -> Verdict:
    """What an answer other than the one asked for says. `code` is S3's word, empty if the answer has none.

    The word goes before the status: S3 sends some errors inside a 200, and `RequestTimeout` as a 400.
    """
    return _BY_CODE.get(code) or _by_status(status)


def _by_status(status: int) -> Verdict:
    if status == 429:
        return Verdict.SLOW_DOWN
    if status in _PASSING_STATUSES or status >= 500:
        return Verdict.PASSING
    if status == 401:
        return Verdict.KEY_REFUSED
    if 301 <= status <= 308 and status != 304:
        return Verdict.WRONG_BUCKET
    return {
        403: Verdict.DENIED,
        404: Verdict.MISSING,
        410: Verdict.MISSING,
        412: Verdict.REPLACED,
        413: Verdict.TOO_LARGE,
        416: Verdict.REPLACED,
    }.get(status, Verdict.UNKNOWN)
