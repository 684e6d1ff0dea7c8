"""Objects made of fields. One declaration both checks what a client sends and describes it as JSON Schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from streamwarm.accept.wire.fields import Field, FieldError, ref, shown


@frozen
class GivenRule:
    """At least one of `names` must be given (not null); exactly one if `exactly_one`. `message` is the error's."""

    names: tuple[str, ...]
    message: str
    exactly_one: bool = False

    def check(self, values: Mapping[str, Any]) -> None:
        given = sum(values[name] is not None for name in self.names)
        if given == 0 or (self.exactly_one and given > 1):
            raise FieldError(self.message)

    def schema(self, fields: Mapping[str, Field]) -> dict[str, Any]:
        given = [
            {"type": "object", "properties": {name: fields[name].schema()}, "required": [name]} for name in self.names
        ]
        return {"oneOf" if self.exactly_one else "anyOf": given}


@frozen
class Shape:
    """An object with these fields and no others, so that a misspelt name does not silently mean the default.

    `what` names the object in messages. `absent`: names that may only be null here, because another shape of the same
    request has them. `component` is as in `Field`.
    """

    fields: Mapping[str, Field]
    rule: GivenRule | None = None
    what: str = "params"
    absent: tuple[str, ...] = ()
    component: str = ""
    _names: tuple[str, ...] = field(init=False)

    @_names.default
    def _all_names(self) -> tuple[str, ...]:
        return (*self.absent, *self.fields)

    def read(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """The checked value of every field, by name. Raises `FieldError` for the first that breaks its rule."""
        self.refuse_unknown(members)
        values = {name: one.read(members, name) for name, one in self.fields.items()}
        if self.rule is not None:
            self.rule.check(values)
        return values

    def refuse_unknown(self, members: Mapping[str, Any]) -> None:
        for name in members:
            if name not in self._names:
                allowed = ", ".join(self._names) or "none"
                raise FieldError(f"{self.what} has an unknown key {shown(name)}; allowed: {allowed}")

    def definition(self) -> dict[str, Any]:
        """The JSON Schema of the object."""
        absent = {name: {"type": "null"} for name in self.absent}
        schema: dict[str, Any] = {
            "type": "object",
            "properties": absent | {name: one.member() for name, one in self.fields.items()},
            "required": [name for name, one in self.fields.items() if one.required],
            "additionalProperties": False,
        }
        return schema | (self.rule.schema(self.fields) if self.rule is not None else {})

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the object, as a reference if it is a component."""
        return ref(self.component) if self.component else self.definition()


@frozen
class EitherShape:
    """One of two shapes: `given` if the field `by` is present and not null, else `otherwise`."""

    by: str
    given: Shape
    otherwise: Shape
    component: str = ""

    def read(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """The checked values of the shape that applies. Raises `FieldError`."""
        return (self.otherwise if members.get(self.by) is None else self.given).read(members)

    def definition(self) -> dict[str, Any]:
        return {"oneOf": [self.given.definition(), self.otherwise.definition()]}

    def schema(self) -> dict[str, Any]:
        return ref(self.component) if self.component else self.definition()
