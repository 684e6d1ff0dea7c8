"""Against the examples that AWS publishes, and against botocore over hostile names.

The examples: "Authenticating Requests: Using the Authorization Header" and "Using Query Parameters" in the S3
API reference. Their credentials are AWS's own, published for this purpose.
"""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import unquote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.s3.sigv4 import (
    EMPTY_PAYLOAD,
    UNSIGNED_PAYLOAD,
    S3Request,
    Signer,
    SigningKeys,
    canonical_query,
    derive_key,
    object_path,
    uri_encode,
)
from streamwarm.watch.observations import Observation, SigningKeyDerived

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "examplebucket.s3.amazonaws.com"
MAY_24_2013 = datetime(2013, 5, 24, tzinfo=UTC).timestamp()

hostile_keys = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.text("./%2eE+?#&= ~\\\n\"'é🎬", min_size=1, max_size=20),
)


def signer(region: str = "us-east-1") -> Signer:
    return Signer(ACCESS_KEY_ID, SECRET, SigningKeys(), region)


def signature(headers: dict[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            S3Request("GET", HOST, "/test.txt", headers={"Range": "bytes=0-9"}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            S3Request(
                "PUT",
                HOST,
                f"/{uri_encode('test$file.text', keep_slash=True)}",
                headers={
                    "Date": "Fri, 24 May 2013 00:00:00 GMT",
                    "x-amz-storage-class": "REDUCED_REDUNDANCY",
                },
                payload_hash="44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            S3Request("GET", HOST, "/", query=(("lifecycle", ""),)),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            S3Request("GET", HOST, "/", query=(("prefix", "J"), ("max-keys", "2"))),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get_object", "put_object", "get_bucket_lifecycle", "list_objects"],
)
def test_every_published_example_would_be_accepted_by_s3(request_: S3Request, expected: str) -> None:
    assert signature(signer().headers(request_, now=MAY_24_2013)) == expected


def test_the_published_presigned_url_comes_out_the_same() -> None:
    target = signer().presigned_target(S3Request("GET", HOST, "/test.txt"), expires_s=86400, now=MAY_24_2013)
    assert target.endswith(b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_the_published_key_derivation_comes_out_the_same() -> None:
    key = derive_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", date="20120215", region="us-east-1", service="iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def at(instant: datetime) -> mock._patch[mock.MagicMock]:
    return mock.patch("botocore.auth.get_current_datetime", return_value=instant)


@given(key=hostile_keys, method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]))
def test_a_hostile_name_is_signed_as_botocore_signs_it(key: str, method: str) -> None:
    s3_request = S3Request(
        method,
        "acct.r2.cloudflarestorage.com",
        object_path("media", key),
        query=(("prefix", key), ("a b", "")),
        headers={"range": "bytes=5-", "if-match": '"abc"'},
    )
    theirs = AWSRequest(
        method=method,
        url=f"https://{s3_request.host}{s3_request.target.decode()}",
        headers=s3_request.headers,
    )
    with at(datetime(2026, 3, 1, 12, 0, 5)):
        S3SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET), "s3", "auto").add_auth(theirs)
    ours = signer("auto").headers(s3_request, now=datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC).timestamp())
    assert ours["x-amz-content-sha256"] == theirs.headers["X-Amz-Content-SHA256"] == EMPTY_PAYLOAD
    assert ours["authorization"].replace(",", ", ") == theirs.headers["Authorization"]


@given(key=hostile_keys, expires_s=st.integers(1, 604800))
def test_a_presigned_url_of_a_hostile_name_is_signed_as_botocore_signs_it(key: str, expires_s: int) -> None:
    s3_request = S3Request("GET", "acct.r2.cloudflarestorage.com", object_path("media", key))
    theirs = AWSRequest(method="GET", url=f"https://{s3_request.host}{s3_request.path}")
    with at(datetime(2026, 3, 1, 12, 0, 5)):
        S3SigV4QueryAuth(Credentials(ACCESS_KEY_ID, SECRET), "s3", "auto", expires=expires_s).add_auth(theirs)
    ours = signer("auto").presigned_target(
        s3_request, expires_s=expires_s, now=datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC).timestamp()
    )
    assert ours.decode().rpartition("X-Amz-Signature=")[2] == theirs.url.rpartition("X-Amz-Signature=")[2]


@pytest.mark.parametrize("expires_s", [0, -1, 604801])
def test_a_presigned_url_that_s3_would_refuse_is_not_made(expires_s: int) -> None:
    with pytest.raises(ValueError, match="604800"):
        signer().presigned_target(S3Request("GET", HOST, "/x"), expires_s=expires_s, now=MAY_24_2013)


@given(key=hostile_keys)
def test_a_name_reaches_the_wire_in_one_encoding_that_decodes_to_itself(key: str) -> None:
    path = object_path("media", key)
    assert path.isascii()
    assert not set(path) & set(' ?#\n\r\t"<>\\+')
    assert unquote(path.removeprefix("/media/"), errors="strict") == key


def test_dots_and_slashes_of_a_name_are_not_tidied() -> None:
    assert object_path("media", "a/../..//./%2e%2e/b") == "/media/a/../..//./%252e%252e/b"


def test_the_query_is_sent_sorted_as_it_is_signed() -> None:
    assert canonical_query((("prefix", "a/b c+d"), ("list-type", "2"))) == "list-type=2&prefix=a%2Fb%20c%2Bd"


def test_a_payload_hash_given_is_the_one_signed_and_sent() -> None:
    s3_request = S3Request("PUT", HOST, "/x", payload_hash=UNSIGNED_PAYLOAD)
    headers = signer().headers(s3_request, now=MAY_24_2013)
    assert headers["x-amz-content-sha256"] == UNSIGNED_PAYLOAD
    assert "x-amz-content-sha256" in headers["authorization"]


def derivations(*times: float, secrets: tuple[str, ...] = (SECRET,), max_keys: int = 64) -> list[str]:
    seen: list[Observation] = []
    keys = SigningKeys(max_keys=max_keys, observe=seen.append)
    for now in times:
        for secret in secrets:
            Signer(ACCESS_KEY_ID, secret, keys).headers(S3Request("GET", HOST, "/x"), now=now)
    return [event.date for event in seen if isinstance(event, SigningKeyDerived)]


def test_a_day_of_requests_derives_one_key() -> None:
    assert derivations(*(MAY_24_2013 + hour * 3600 for hour in range(23))) == ["20130524"]


def test_a_key_is_never_used_across_the_utc_date_change() -> None:
    midnight = MAY_24_2013 + 86400
    assert derivations(midnight - 1, midnight, midnight + 1) == ["20130524", "20130525"]


def test_a_key_older_than_23_hours_is_derived_afresh() -> None:
    assert derivations(MAY_24_2013, MAY_24_2013 + 82800) == ["20130524", "20130524"]


def test_a_clock_set_back_does_not_keep_a_key_for_longer() -> None:
    assert len(derivations(MAY_24_2013 + 7200, MAY_24_2013)) == 2


def test_another_secret_never_gets_the_first_ones_key() -> None:
    assert len(derivations(MAY_24_2013, MAY_24_2013, secrets=("one", "two"))) == 2


def test_keys_kept_are_bounded() -> None:
    assert len(derivations(MAY_24_2013, MAY_24_2013, secrets=("one", "two", "three"), max_keys=2)) == 6


def test_no_secret_shows_in_a_repr() -> None:
    keys = SigningKeys()
    who = Signer(ACCESS_KEY_ID, SECRET, keys)
    who.headers(S3Request("GET", HOST, "/x"), now=MAY_24_2013)
    shown = f"{who!r} {who} {keys!r}"
    assert SECRET not in shown
    assert derive_key(SECRET, date="20130524", region="auto", service="s3").hex() not in shown
