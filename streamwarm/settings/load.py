"""Finds settings: flag, then environment, then `streamwarm.toml`, then default (contract, section 3).

`typed-settings` lists the options and merges the layers. The conversion is ours, because its messages show the value,
which may be a secret, and do not say what is allowed.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
import cattrs
from typed_settings import cls_utils, dict_utils
from typed_settings.types import LoadedSettings, LoaderMeta, SecretStr

from streamwarm.errors import SettingsError
from streamwarm.settings.destinations import destination_tables
from streamwarm.settings.schema import Address, BadValue, Settings

T = TypeVar("T")

PREFIX = "STREAMWARM_"
DEFAULT_FILE = "streamwarm.toml"
ENVIRONMENT = "the environment"


def load_settings(
    config: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from every layer. `flags` maps paths such as `queue.workers` to values.

    Raises `SettingsError` for a file that cannot be read, an unknown key, or a bad value.
    """
    environ = os.environ if environ is None else environ
    path = _config_path(config, environ)
    table = _read_toml(path) if path else {}
    destinations = destination_tables(table.pop("destinations", {}), path, environ)
    options = [o for o in cls_utils.deep_options(Settings) if o.path != "destinations"]
    known = {o.path: o for o in options}
    layers = [
        _layer(dict(_flatten(table, _fields(Settings))), str(path), known),
        _layer(dict(_environment(environ, known)), ENVIRONMENT, known),
        _layer(dict(flags or {}), "the command line", known),
    ]
    classes = {name: cast(Any, f.type) for name, f in _fields(Settings).items() if name != "destinations"}
    values: dict[str, dict[str, Any]] = {name: {} for name in classes}
    for option_path, loaded in dict_utils.merge_settings(tuple(options), layers).items():
        section, key = option_path.split(".")
        where = _where(loaded.loader_meta.name, option_path)
        values[section][key] = _convert(loaded.value, _fields(classes[section])[key], where)
    sections = {name: _build(cls, values[name], f"{path or 'settings'}: {name}") for name, cls in classes.items()}
    return Settings(**sections, destinations=destinations)


def structure_table(cls: type[T], table: Mapping[str, Any], where: str, variables: Mapping[str, str] = {}) -> T:
    """Build an attrs settings class from one table; `where` begins every message, such as `[destinations.mybot]`.

    `variables` names the environment's variable of each key that has one.
    """
    fields = _fields(cls)
    told = {
        key: f"{ENVIRONMENT}: {variables[key]} ({where} {key})" if key in variables else f"{where} {key}"
        for key in table
    }
    for key in table:
        if key not in fields:
            raise SettingsError(f"{told[key]}: there is no such setting{_suggest(key, fields)}")
    values = {key: _convert(value, fields[key], told[key]) for key, value in table.items()}
    for name, f in fields.items():
        if f.default is attrs.NOTHING and name not in values and f"{name}_file" not in values:
            raise SettingsError(f"{where} {name}: is required")
    return _build(cls, values, where)


def _fields(cls: Any) -> dict[str, attrs.Attribute[Any]]:
    return attrs.fields_dict(attrs.resolve_types(cls))


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
    """The values by their paths; what is no section stands as it is, also where nothing is in it."""
    for section, content in table.items():
        if isinstance(content, dict) and (content or section in sections):
            for key, value in content.items():
                yield f"{section}.{key}", value
        else:
            yield section, content


def _environment(environ: Mapping[str, str], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Variables that name a section of ours. Others that begin with our prefix are left alone: Kubernetes sets
    `STREAMWARM_PORT` and `STREAMWARM_SERVICE_HOST` wherever a service is called streamwarm."""
    sections = {path.split(".")[0] for path in known}
    for name, value in environ.items():
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("_")
            if section in sections and key:
                yield f"{section}.{key}", value


def _layer(values: dict[str, Any], origin: str, known: Mapping[str, Any]) -> LoadedSettings:
    nested: dict[str, Any] = {}
    for path, value in values.items():
        if path not in known:
            raise SettingsError(f"{origin}: {path}: there is no such setting{_suggest(path, known)}")
        dict_utils.set_path(nested, path, value)
    return LoadedSettings(nested, LoaderMeta(origin))


def _where(origin: str, path: str) -> str:
    """Where a value was found, as the user wrote it there."""
    if origin == ENVIRONMENT:
        return f"{origin}: {PREFIX}{path.replace('.', '_').upper()} ({path})"
    return f"{origin}: {path}"


def _convert(value: Any, f: attrs.Attribute[Any], where: str) -> Any:
    try:
        converted = _CONVERTER.structure(value, cast("type[Any]", f.type))
        if callable(f.validator) and converted is not None:
            f.validator(None, f, converted)
    except BadValue as exc:
        raise SettingsError(f"{where}: {exc}") from None
    except (ValueError, TypeError):
        # Not one of ours: its text may quote the value, which may be a secret.
        raise SettingsError(f"{where}: has the wrong form") from None
    return converted


def _build(cls: type[T], values: dict[str, Any], where: str) -> T:
    """The instance, with what `*_file` settings name read in their place."""
    fields = _fields(cls)
    for key in [k for k in values if k.endswith("_file") and k.removesuffix("_file") in fields]:
        if values[key] is not None:
            target = key.removesuffix("_file")
            if values.get(target):
                raise SettingsError(f"{where}: {target} and {key} are both set; keep one")
            text = _read_secret(values[key], f"{where}: {key}")
            values[target] = _convert(text, fields[target], f"{where}: {key}")
    try:
        return cls(**values)
    except BadValue as exc:  # what no single value can tell is wrong
        raise SettingsError(f"{where} {exc}") from None


def _read_secret(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{where}: {path} cannot be read: {type(exc).__name__}") from exc


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    section = key.partition(".")[0]
    allowed = [k for k in known if k.startswith(f"{section}.")] or sorted({k.partition(".")[0] for k in known})
    return f"; allowed: {', '.join(allowed)}"


def _to_int(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9_]{1,20}", value.strip()):
        return int(value)
    raise BadValue("must be a whole number")


def _to_float(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadValue("must be a number")
    try:
        return float(value)
    except ValueError:
        raise BadValue("must be a number") from None


def _to_bool(value: Any, _: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    result = value if isinstance(value, bool) else words.get(str(value).lower())
    if result is None:
        raise BadValue("must be true or false")
    return result


def _to_str(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("must be text in quotes")
    return value


def _to_secret(value: Any, _: Any) -> SecretStr:
    if not isinstance(value, str):
        raise BadValue("must be text in quotes")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise BadValue("has a space, line break or character that no key or token has")
    return SecretStr(value)


def _to_address(value: Any, _: Any) -> Address:
    return Address.parse(_to_str(value, str))


def _to_tuple(value: Any, cls: Any) -> tuple[Any, ...]:
    """A TOML array, or in the environment a comma-separated text (a file of tokens: one a line)."""
    if isinstance(value, str):
        value = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    if not isinstance(value, list | tuple):
        raise BadValue("must be a list")
    return tuple(_CONVERTER.structure(item, cls.__args__[0]) for item in value)


def _to_headers(value: Any, _: Any) -> Mapping[str, SecretStr]:
    """A TOML table, or as text (in the environment, in a file) one `Name: value` a line."""
    if isinstance(value, str):
        lines = [line.partition(":") for line in value.splitlines() if line.strip()]
        if not all(colon for _, colon, _ in lines):
            raise BadValue("must have one `Name: value` a line")
        value = {name.strip(): text.strip() for name, _, text in lines}
    if not isinstance(value, dict):
        raise BadValue('must be a table, such as { Authorization = "Bearer …" }')
    return {name: _to_secret(text, SecretStr) for name, text in value.items()}


def _to_int_or_str(value: Any, _: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValue("must be a whole number or text in quotes")
    return value


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    for cls, hook in (
        (int, _to_int),
        (float, _to_float),
        (bool, _to_bool),
        (str, _to_str),
        (SecretStr, _to_secret),
        (Address, _to_address),
        (Path, lambda value, _: Path(_to_str(value, str)).expanduser()),
    ):
        converter.register_structure_hook(cls, hook)
    converter.register_structure_hook_func(lambda cls: getattr(cls, "__origin__", None) is tuple, _to_tuple)
    converter.register_structure_hook_func(lambda cls: cls == int | str, _to_int_or_str)
    converter.register_structure_hook_func(lambda cls: cls == Mapping[str, SecretStr], _to_headers)
    return converter


_CONVERTER = _make_converter()
