"""The service's log, from its settings."""

from __future__ import annotations

from streamwarm.service.open import secrets_in_settings
from streamwarm.settings.schema import Settings
from streamwarm.watch.logs import make_logger
from streamwarm.watch.observations import Observer
from streamwarm.redact import make_redactor


def logger_for(settings: Settings) -> Observer:
    """Make the log that the settings ask for; it masks every secret of the settings."""
    redact = make_redactor(secrets_in_settings(settings))
    return make_logger(form=settings.log.format, level=settings.log.level, redact=redact)
