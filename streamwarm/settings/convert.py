"""Converts text and TOML values into the fields of settings classes. Reads the secrets that `*_file` settings name.

cattrs converts, with hooks of our own: its default messages quote the value, which may be a secret.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
import cattrs

from streamwarm.errors import SettingsError
from streamwarm.settings.checks import BadValue
from streamwarm.settings.schema import Address
from streamwarm.settings.secret import SecretStr

T = TypeVar("T")

ENVIRONMENT = "the environment"

_UNFILLED = re.compile(r"\$\{\w+\}|(?<!\S)\$[A-Z_][A-Z0-9_]*(?!\S)")
"""A variable that a shell or a template should have replaced. As a token it would be one that everybody can guess."""


def structure_table(cls: type[T], table: Mapping[str, Any], where: str, variables: Mapping[str, str] = {}) -> T:
    """Build an attrs settings class from one table.

    `where` begins every message, such as `[destinations.mybot]`. `variables` gives, by key, the environment variable
    that a value came from. Raises `SettingsError` for an unknown key, a missing one, or a bad value.
    """
    fields = fields_of(cls)
    origins = {
        key: f"{ENVIRONMENT}: {variables[key]} ({where} {key})" if key in variables else f"{where} {key}"
        for key in table
    }
    for key in table:
        if key not in fields:
            raise SettingsError(f"{origins[key]}: there is no such setting{suggest(key, fields)}")
    values = {key: convert(value, fields[key], origins[key]) for key, value in table.items()}
    for name, f in fields.items():
        if f.default is attrs.NOTHING and name not in values and f"{name}_file" not in values:
            raise SettingsError(f"{where} {name}: is required")
    return build(cls, values, where)


def fields_of(cls: Any) -> dict[str, attrs.Attribute[Any]]:
    """The fields of an attrs class by name, with their annotations as types."""
    return attrs.fields_dict(attrs.resolve_types(cls))


def convert(value: Any, f: attrs.Attribute[Any], where: str) -> Any:
    """One value as its field's type, validated. Raises `SettingsError`; `where` begins its message."""
    try:
        converted = _CONVERTER.structure(value, cast("type[Any]", f.type))
        if callable(f.validator) and converted is not None:
            f.validator(None, f, converted)
        _refuse_empty_secret(f, converted)
    except BadValue as exc:
        raise SettingsError(f"{where}: {exc}") from None
    except (ValueError, TypeError):
        # Not one of ours: its text may quote the value, which may be a secret.
        raise SettingsError(f"{where}: has the wrong form") from None
    return converted


def _refuse_empty_secret(f: attrs.Attribute[Any], converted: Any) -> None:
    """Refuse a secret that is set and empty: a variable was not filled in. Empty tokens would let everybody in."""
    if isinstance(converted, SecretStr) and not converted:
        raise BadValue("is set and empty; give the secret, or leave the setting out")
    if converted == () and getattr(f.type, "__args__", ())[:1] == (SecretStr,):
        raise BadValue("has no token in it, which would let everybody in; add one, or leave the setting out")


def build(cls: type[T], values: dict[str, Any], where: str) -> T:
    """The instance of an attrs class. A setting `NAME_file` is read, and its text becomes the value of `NAME`.

    Raises `SettingsError`; `where` begins its message.
    """
    fields = fields_of(cls)
    for key in [k for k in values if k.endswith("_file") and k.removesuffix("_file") in fields]:
        if values[key] is not None:
            target = key.removesuffix("_file")
            if values.get(target):
                raise SettingsError(f"{where}: {target} and {key} are both set; keep one")
            text = _read_secret(values[key], f"{where}: {key}")
            if "tokens" in target:
                text = _without_comments(text)
            values[target] = convert(text, fields[target], f"{where}: {key}: {values[key]}")
    try:
        return cls(**values)
    except BadValue as exc:  # the values do not go together
        raise SettingsError(f"{where} {exc}") from None


def _read_secret(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()  # some editors put a byte order mark first
    except OSError as exc:
        raise SettingsError(f"{where}: {path} cannot be read: {exc.strerror}; give a file with the secret") from exc
    except ValueError as exc:
        # Not UTF-8, or a path with a NUL. Neither text may be quoted.
        raise SettingsError(f"{where}: {path} cannot be read: {type(exc).__name__}; it must be UTF-8 text") from None


def _without_comments(text: str) -> str:
    """The lines of a file of tokens that are not comments, which begin with #."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def suggest(key: str, known: Mapping[str, Any]) -> str:
    """The end of the message about an unknown key: the closest known key, or all that are allowed."""
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
    if _UNFILLED.search(value):
        raise BadValue("has a variable in it, such as ${NAME}, which nothing fills in here; give the secret itself")
    return SecretStr(value)


def _to_path(value: Any, _: Any) -> Path:
    text = _to_str(value, str)
    if not text.strip():
        raise BadValue("is set and empty; give a path, or leave the setting out")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise BadValue("begins with a ~ that stands for no user's folder") from None


def _to_address(value: Any, _: Any) -> Address:
    return Address.parse(_to_str(value, str))


def _to_tuple(value: Any, cls: Any) -> tuple[Any, ...]:
    """A TOML array, or in the environment a comma-separated text (in a file of tokens: one per line)."""
    if isinstance(value, str):
        value = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    if not isinstance(value, list | tuple):
        raise BadValue("must be a list")
    return tuple(_CONVERTER.structure(item, cls.__args__[0]) for item in value)


def _to_headers(value: Any, _: Any) -> Mapping[str, SecretStr]:
    """A TOML table, or as text (from the environment or a file) one `Name: value` per line."""
    if isinstance(value, str):
        lines = [line.partition(":") for line in value.splitlines() if line.strip()]
        if not lines:
            raise BadValue("is set and empty; give headers, or leave the setting out")
        if not all(colon for _, colon, _ in lines):
            raise BadValue("must have one `Name: value` a line")
        value = {name.strip(): text.strip() for name, _, text in lines}
    if not isinstance(value, dict):
        raise BadValue('must be a table, such as { width = 640 }, or as text a JSON object, such as {"width": 640}')
    return {name: _to_secret(text, SecretStr) for name, text in value.items()}


def _to_options(value: Any, _: Any) -> Mapping[str, Any]:
    """A TOML table, or as text (from the environment) a JSON object."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise BadValue('must be a table, such as { width = 640 }, or as text a JSON object, such as {"width": 640}')
    return value


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
        (Path, _to_path),
    ):
        converter.register_structure_hook(cls, hook)
    converter.register_structure_hook_func(lambda cls: getattr(cls, "__origin__", None) is tuple, _to_tuple)
    converter.register_structure_hook_func(lambda cls: cls == int | str, _to_int_or_str)
    converter.register_structure_hook_func(lambda cls: cls == Mapping[str, SecretStr], _to_headers)
    converter.register_structure_hook_func(lambda cls: cls == Mapping[str, Any], _to_options)
    return converter


_CONVERTER = _make_converter()
