"""The service's log, from its settings."""

from __future__ import annotations

from streamwarm.redact import make_redactor
from streamwarm.settings.schema import Settings
from streamwarm.settings.secrets import secrets_in_settings
from streamwarm.watch.logs import make_logger
from streamwarm.watch.observations import Observer


def logger_for(settings: Settings) -> Observer:
    """Make the log that the settings ask for; it masks every secret of the settings."""
    redact = make_redactor(secrets_in_settings(settings))
    return make_logger(form=settings.log.format, level=settings.log.level, redact=redact)
