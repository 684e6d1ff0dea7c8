"""Whose references a destination's are: the account that its settings name (contract, section 1). Pure.

A record answers only for the account that made it. A token that is issued anew for the same bot keeps its records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from streamwarm.settings.http import HttpSettings
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.schema import DestinationSettings
from streamwarm.settings.telegram import TelegramSettings


def accounts_of(destinations: Mapping[str, DestinationSettings]) -> dict[str, str]:
    return {name: account_of(table) for name, table in destinations.items()}


def account_of(table: DestinationSettings) -> str:
    """A bot's number; an S3 destination's endpoint, bucket and key template; an HTTP destination's origin, and a digest
    of its method and template. No account holds a secret: a template may, so it is digested."""
    match table:
        case TelegramSettings():
            return table.token.partition(":")[0]
        case S3Settings():
            return f"{table.endpoint_url.rstrip('/')}/{table.bucket}/{table.key}"
        case HttpSettings():
            parts = urlsplit(table.url)
            digest = hashlib.sha256(f"{table.method} {table.url}".encode()).hexdigest()[:16]
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} {digest}"
    return ""
