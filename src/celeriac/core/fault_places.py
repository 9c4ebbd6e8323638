"""Where in a definition a fault of pydantic's lies, as whoever wrote it would say, and which fields there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

#: What an item of a list may be called by.
_NAMES = ("name", "table")
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Kind:
    """A model that a value may be of, and what pydantic calls it among several."""

    model: type[BaseModel]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class FaultPlace:
    """Where a fault lies."""

    path: tuple[str, ...]
    """Fields from the outside in, with names in place of numbers. pydantic's names of alternatives are left out."""
    around: Sequence[Kind]
    """What has the field."""
    inside: Sequence[Kind]
    """What its value may be."""
    is_of_one_way: bool
    """Whether it is the fault of one way of several in which the value may be written."""


def find_place(model: type[BaseModel], given: Any, loc: Sequence[int | str]) -> FaultPlace:
    """Follow a fault's location through the model and through what was given."""
    around = inside = [Kind(model, frozenset[str]())]
    path, value, is_of_one_way = list[str](), given, False
    for part in loc:
        if isinstance(part, str) and len(inside) > 1 and (chosen := [kind for kind in inside if part in kind.tags]):
            inside = chosen
            continue
        fields = [found for kind in inside if isinstance(part, str) and (found := _field(kind.model, part)) is not None]
        is_of_one_way = not (isinstance(part, int) or fields or (isinstance(value, Mapping) and part in value))
        if is_of_one_way:
            continue
        around = inside
        inside = [kind for found in fields for kind in _kinds_of(found)] or inside
        value = _item(value, part)
        path.append((_name_of(value) if isinstance(part, int) else None) or str(part))
    return FaultPlace(tuple(path), around, inside, is_of_one_way)


def names_of(kinds: Sequence[Kind]) -> list[str]:
    """Return the fields that these models have, as a definition calls them."""
    named = (field.alias or name for kind in kinds for name, field in kind.model.model_fields.items())
    return list(dict.fromkeys(named))


def tags_of(kinds: Sequence[Kind]) -> list[str]:
    """Return the names by which these models are told apart."""
    return list(dict.fromkeys(tag for kind in kinds for tag in sorted(kind.tags)))


def kinds_in(annotation: Any, discriminator: str | None = None, tag: str | None = None) -> Iterator[Kind]:
    """Yield the models that a value with this annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        literal = get_args(annotation.model_fields[discriminator].annotation) if discriminator else ()
        yield Kind(annotation, frozenset([*map(str, literal), *([tag] if tag else [])]))
        return
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        annotation, *more = parts
        for one in more:
            if isinstance(one, Tag):
                tag = one.tag
            elif isinstance(one, FieldInfo) and isinstance(one.discriminator, str):
                discriminator = one.discriminator
        yield from kinds_in(annotation, discriminator, tag)
    elif origin is not Literal:
        is_choice = origin in (Union, UnionType)
        for part in parts:
            yield from kinds_in(part, discriminator if is_choice else None, tag)


def _kinds_of(field: FieldInfo) -> Iterator[Kind]:
    return kinds_in(field.annotation, field.discriminator if isinstance(field.discriminator, str) else None)


def _field(model: type[BaseModel], name: str) -> FieldInfo | None:
    for own, field in model.model_fields.items():
        if name == (field.alias or own):
            return field
    return None


def _item(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (LookupError, TypeError):
        return None


def _name_of(value: Any) -> str | None:
    """Return how a person would call an item of a list: by its name, if it has one."""
    if not isinstance(value, Mapping):
        return None
    item = cast("Mapping[str, Any]", value)
    given = (item.get(name) for name in _NAMES)
    return next((one for one in given if isinstance(one, str) and _is_plain(one)), None)


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and all(one.isalnum() or one in "_.-" for one in name)
