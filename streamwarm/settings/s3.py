"""The settings of an S3 destination. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from attrs import Attribute, field, frozen

from streamwarm.s3.bounds import LEAST_PART_BYTES, MIB, MOST_PART_BYTES, TRACES
from streamwarm.settings.checks import BadValue, check_endpoint, not_empty
from streamwarm.settings.placeholders import check_placeholders, uses
from streamwarm.settings.secret import SecretStr

PART_BYTES = 64 * MIB
"""An object up to this size costs one request. Above it, the wait for a part's answer overlaps with the next part."""


def _check_word(_: object, __: Attribute[Any], value: str) -> None:
    if not re.fullmatch(r"[!-~]{1,256}", value) or "/" in value:
        raise BadValue("must be printable ASCII without spaces and slashes, not empty")


def _check_key(_: object, __: Attribute[Any], value: str) -> None:
    check_placeholders(value)
    if not value.isprintable():
        raise BadValue("has a character that cannot be printed")
    if not uses(value, "r2_key") and not uses(value, "sha256"):
        raise BadValue("must have {r2_key} or {sha256} in it: without, all objects would go to one name")
    if value.startswith(TRACES.partition("/")[0]):
        raise BadValue(f"must not begin with {TRACES}, where streamwarm keeps notes about its uploads")


def _check_part_bytes(_: object, __: Attribute[Any], value: int) -> None:
    if not LEAST_PART_BYTES <= value <= MOST_PART_BYTES:
        raise BadValue(f"must be from {LEAST_PART_BYTES} (5 MiB) to {MOST_PART_BYTES} (5 GiB)")


@frozen(kw_only=True)
class S3Settings:
    """`[destinations.<name>]` with `type = "s3"`."""

    type: str = "s3"
    endpoint_url: str = field(validator=check_endpoint)
    bucket: str = field(validator=_check_word)
    access_key_id: SecretStr = field(validator=[not_empty, _check_word])
    access_key_id_file: Path | None = None
    secret_access_key: SecretStr = field(validator=not_empty)
    secret_access_key_file: Path | None = None
    region: str = field(default="auto", validator=_check_word)
    key: str = field(default="{r2_key}", validator=_check_key)
    part_bytes: int = field(default=PART_BYTES, validator=_check_part_bytes)
