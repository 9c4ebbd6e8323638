"""The fields of definitions, such as those of a sync, as tables for docs/reference."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, JsonValue
from pydantic.fields import FieldInfo

from celeriac.core.fault_places import kinds_in
from celeriac.secret import check_place

#: Fields by which alternatives are told apart. The heading says their values.
_TELLING = ("type", "kind")
_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    timedelta: "time, such as `90d`",
    Path: "path",
    Any: "anything",
    JsonValue: "anything",
    type(None): "nothing",
}
_BOUNDS = (("ge", "from {}"), ("gt", "above {}"), ("le", "to {}"), ("lt", "below {}"))


def definition(root: type[BaseModel]) -> Callable[[], str]:
    """All models of a definition with their fields."""
    return lambda: "\n\n".join(map(_section, _models(root)))


def attribute_docstrings(kind: type) -> dict[str, str]:
    """The strings that stand below the attributes of a class."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    for before, after in pairwise(body):
        target = getattr(before, "target", None) or (before.targets[0] if isinstance(before, ast.Assign) else None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[target.id] = inspect.cleandoc(str(after.value.value))
    return found


def _models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and those of its fields, each where it is first met."""
    found: list[type[BaseModel]] = []
    waiting = [root]
    while waiting:
        model = waiting.pop(0)
        if model not in found:
            found.append(model)
            inner = [kind.model for field in model.model_fields.values() for kind in kinds_in(field.annotation)]
            waiting = [*inner, *waiting]
    return found


def _section(model: type[BaseModel]) -> str:
    told: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__module__.startswith("celeriac."):
            told |= attribute_docstrings(base)
    rows = ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in _TELLING and _is_literal(field):
            continue
        assert told.get(name), f"{model.__name__}.{name} is not described"
        meaning = f"{told[name]}{_choices(field.annotation)}"
        cells = (f"`{field.alias or name}`", _type(field), _default(field), meaning)
        rows.append(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |")
    about = f"## {_title(model)}\n\n{(inspect.getdoc(model) or '').strip()}"
    return "\n".join([about, "", *rows]) if len(rows) > 2 else about


def _title(model: type[BaseModel]) -> str:
    for name in _TELLING:
        if name in model.model_fields and _is_literal(model.model_fields[name]):
            return f"{model.__name__}: `{name}: {get_args(model.model_fields[name].annotation)[0]}`"
    return model.__name__


def _is_literal(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal


def _type(field: FieldInfo) -> str:
    bounds = [form.format(f"{value:,}") for name, form in _BOUNDS if (value := _bound(field, name)) is not None]
    named = "place of a secret" if _is_secret(field) else _named(field.annotation)
    return " ".join([named, *bounds])


def _is_secret(field: FieldInfo) -> bool:
    return any(isinstance(one, AfterValidator) and one.func is check_place for one in _metadata(field))


def _bound(field: FieldInfo, name: str) -> float | None:
    found = [getattr(one, name, None) for one in _metadata(field)]
    return next((one for one in found if isinstance(one, int | float)), None)


def _metadata(field: FieldInfo) -> Sequence[Any]:
    nested = [
        more for part in get_args(field.annotation) if get_origin(part) is Annotated for more in get_args(part)[1:]
    ]
    return [*field.metadata, *nested]


def _named(annotation: Any) -> str:
    """A type in words, with links to the models on this page."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{_anchor(_title(annotation))})"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{one.value}`" for one in annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _named(parts[0])
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in parts)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_named(part) for part in parts if part is not type(None)))
    if origin in (list, tuple):
        return f"list of {_named(parts[0])}"
    return f"names with {_named(parts[-1])}"


def _anchor(title: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return "".join(c for c in title.lower() if c.isalnum() or c in " -_").replace(" ", "-")


def _choices(annotation: Any) -> str:
    """What the values of an enumeration mean."""
    enums = [one for one in (annotation, *_deep(annotation)) if isinstance(one, type) and issubclass(one, Enum)]
    if not enums:
        return ""
    told = attribute_docstrings(enums[0])
    shown = [f"`{one.value}`: {told[one.name]}" for one in enums[0] if one.name in told]
    return " " + " ".join(shown)


def _deep(annotation: Any) -> list[Any]:
    return [found for part in get_args(annotation) for found in (part, *_deep(part))]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        alternatives = list(kinds_in(field.annotation))
        return f"`{type(value).__name__}`" if len(alternatives) > 1 else "its own defaults"
    if value is None or value in ((), {}, [], ""):
        return "unset"
    return f"`{json.dumps(value)}`" if isinstance(value, bool | list | tuple) else f"`{value}`"
