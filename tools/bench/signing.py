"""Signatures a second, with the signing key cached and derived each time, and botocore's for comparison.

    uv run --group dev python tools/bench/signing.py [--requests 20000] [--repeats 5]

One GET of a key with a Range, as the service signs it. Peers take turns; the median of the repeats is shown.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path

HOST = "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"
KEY = "media/2026/11/clips/интро 42.mp4"
ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def ours(keys: SigningKeys) -> Callable[[], object]:
    signer = Signer(ACCESS, SECRET, keys)
    now = time.time()

    def sign() -> object:
        request = S3Request("GET", HOST, object_path("media", KEY), headers={"range": "bytes=0-"})
        return signer.headers(request, now=now)

    return sign


def botocores() -> Callable[[], object]:
    auth = S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", "auto")

    def sign() -> object:
        request = AWSRequest("GET", f"https://{HOST}/media/{KEY}", headers={"Range": "bytes=0-"})
        auth.add_auth(request)
        return request

    return sign


PEERS: dict[str, Callable[[], object]] = {
    "key cached 23 h": ours(SigningKeys()),
    "key derived each time": ours(SigningKeys(key_ttl_s=0)),
    "botocore": botocores(),
}


def cpu_us(sign: Callable[[], object], requests: int) -> float:
    began = time.process_time()
    for _ in range(requests):
        sign()
    return (time.process_time() - began) / requests * 1e6


def main(requests: int, repeats: int) -> None:
    figures: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(repeats):
        for name, sign in PEERS.items():
            figures[name].append(cpu_us(sign, requests))
    cached = statistics.median(figures["key cached 23 h"])
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}")
    print("| | CPU-µs a signature | signatures/s | to ours |\n|---|---:|---:|---:|")
    for name, values in figures.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.1f} | {1e6 / median:.0f} | {median / cached:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    main(options.requests, options.repeats)
