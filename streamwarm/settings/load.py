"""Finds settings in four layers and merges them: flag, environment, file, default (contract, section 3)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from attrs import Attribute, frozen

from streamwarm.errors import SettingsError
from streamwarm.settings.convert import ENVIRONMENT, build, convert, fields_of, suggest
from streamwarm.settings.destination_tables import read_tables
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.schema import Settings

PREFIX = "STREAMWARM_"
DEFAULT_FILE = "streamwarm.toml"


@frozen
class _Layer:
    """Values by path, such as `queue.workers`, as one origin gives them. Messages begin with `origin`."""

    origin: str
    values: Mapping[str, Any]


def load_settings(
    config: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    destinations: bool = True,
) -> Settings:
    """Settings from every layer. `flags` maps paths such as `queue.workers` to values.

    `destinations=False` leaves their tables unread: a client of a running service needs none, and its user may not
    be allowed to read the files of their secrets.

    Raises `SettingsError` for a file that cannot be read, an unknown key, or a bad value.
    """
    environ = os.environ if environ is None else environ
    path = _config_path(config, environ)
    table = _read_toml(path) if path else {}
    destination_tables = table.pop("destinations", {})
    classes = {name: cast(Any, f.type) for name, f in fields_of(Settings).items() if name != "destinations"}
    known = {f"{section}.{key}": f for section, cls in classes.items() for key, f in fields_of(cls).items()}
    layers = [
        _Layer(str(path), dict(_flatten(table, classes))),
        _Layer(ENVIRONMENT, dict(_environment(environ, classes))),
        _Layer("the command line", dict(flags or {})),
    ]
    values = _merge(layers, known)
    sections = {
        name: build(cls, values.get(name, {}), f"{path or 'settings'}: {name}") for name, cls in classes.items()
    }
    if not destinations:
        return Settings(**sections)
    tables, variables = read_tables(destination_tables, path, environ)
    parsed = parse_destinations(tables, origin=f"{path}: " if path else "", variables=variables)
    return Settings(**sections, destinations=parsed)


def _merge(layers: list[_Layer], known: Mapping[str, Attribute[Any]]) -> dict[str, dict[str, Any]]:
    """The converted values by section and key. A later layer goes before an earlier one.

    Raises `SettingsError` for a path that is not known, or a bad value. A value that is overridden is not converted.
    """
    for layer in layers:
        for path in layer.values:
            if path not in known:
                raise SettingsError(f"{layer.origin}: {path}: there is no such setting{suggest(path, known)}")
    merged: dict[str, dict[str, Any]] = {}
    for path, f in known.items():
        found = next((layer for layer in reversed(layers) if path in layer.values), None)
        if found is not None:
            section, key = path.split(".")
            merged.setdefault(section, {})[key] = convert(found.values[path], f, _where(found.origin, path))
    return merged


def _config_path(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is None and environ.get(f"{PREFIX}CONFIG"):
        config = Path(environ[f"{PREFIX}CONFIG"])
    if config is not None:
        return config
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: is not valid TOML: {exc}") from None


def _flatten(table: Mapping[str, Any], sections: Container[str]) -> Iterator[tuple[str, Any]]:
    """The values by path. An unknown table that is empty, and a value outside any table, come under their own name."""
    for section, content in table.items():
        if isinstance(content, dict) and (content or section in sections):
            for key, value in content.items():
                yield f"{section}.{key}", value
        else:
            yield section, content


def _environment(environ: Mapping[str, str], sections: Container[str]) -> Iterator[tuple[str, str]]:
    """The variables that name one of our sections, by path.

    Others with our prefix are ignored: if a service is called streamwarm, Kubernetes sets `STREAMWARM_PORT` and
    `STREAMWARM_SERVICE_HOST`.
    """
    for name, value in environ.items():
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("_")
            if section in sections and key:
                yield f"{section}.{key}", value


def _where(origin: str, path: str) -> str:
    """Where a value was found, as the user wrote it there."""
    if origin == ENVIRONMENT:
        return f"{origin}: {PREFIX}{path.replace('.', '_').upper()} ({path})"
    return f"{origin}: {path}"
