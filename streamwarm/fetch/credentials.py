"""A bucket's address and keys, as the requests to it need them."""

from __future__ import annotations

import re

from attrs import Attribute, field, frozen

from streamwarm.settings.checks import BadValue, check_endpoint

_HEADER_WORD = re.compile(r"[!-~]{1,256}", re.ASCII)


def _check_endpoint_url(instance: object, attribute: Attribute[str], value: str) -> None:
    try:
        check_endpoint(instance, attribute, value)
    except BadValue as error:
        raise ValueError(f"{attribute.name} {error}") from None


def _check_header_word(_: object, attribute: Attribute[str], value: str) -> None:
    if not _HEADER_WORD.fullmatch(value):
        raise ValueError(f"{attribute.name} must be printable ASCII without spaces, not empty")


@frozen
class Bucket:
    """A bucket's address and the credentials for it.

    `endpoint_url` is scheme, host and port only. R2's region is `auto`.

    Raises `ValueError` for an endpoint with a path, and for words that can't be sent in a header.
    """

    endpoint_url: str = field(validator=_check_endpoint_url)
    bucket: str = field(validator=_check_header_word)
    region: str = field(validator=_check_header_word)
    access_key_id: str = field(validator=_check_header_word)
    secret_access_key: str = field(repr=False)
