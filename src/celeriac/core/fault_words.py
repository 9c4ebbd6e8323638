"""What pydantic finds wrong with a definition, in the words of whoever writes one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from celeriac.core import faults
from celeriac.core.fault_places import FaultPlace, find_place, names_of, tags_of

_LIST = "must be a list, such as [a, b]"
_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_BOOLEAN = "must be true or false"
#: By the type of the fault, with what its context has.
_WORDS = {
    "missing": "is missing",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "string_type": "must be a text (in quotes, if it looks like something else)",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "dict_type": "must have names and values, such as {{name: value}}",
    "mapping_type": "must have names and values, such as {{name: value}}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have {max_length} characters at most",
    "too_long": "must have {max_length} items at most",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "has characters that it cannot have: it must match {pattern}",
}
#: How pydantic's other sentences go on after their first word.
_SHOULD = " should "
_MODEL = ("model_type", "model_attributes_type", "dict_attributes_type")


def told(model: type[BaseModel], given: Any, error: ValidationError, whole: str) -> str:
    """Return what is wrong with a definition. Values that were given are not shown: some are secrets.

    Args:
        model: what it should be.
        given: the definition.
        error: what pydantic has found.
        whole: what a fault of no single field is said to be of.
    """
    found = error.errors(include_url=False, include_input=False)
    return faults.sentence(_joined([_reworded(model, given, fault) for fault in found]), whole)


def _joined(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make one fault of those of several ways to write a value, and none if a part of the value is wrong."""
    ways: dict[tuple[str, ...], list[str]] = {}
    for fault in found:
        if fault["is_of_one_way"]:
            ways.setdefault(fault["loc"], []).append(fault["msg"].removeprefix("must ").removeprefix("be "))
    told = list[dict[str, Any]]()
    for fault in found:
        place = fault["loc"]
        if place not in ways:
            told.append(fault)
        elif not any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in found):
            told += [{**fault, "msg": f"must be {' or '.join(dict.fromkeys(said))}"}] if (said := ways[place]) else []
            ways[place] = []
    return told


def _reworded(model: type[BaseModel], given: Any, fault: Mapping[str, Any]) -> dict[str, Any]:
    place = find_place(model, given, fault["loc"])
    kind, context = str(fault["type"]), dict(fault.get("ctx", {}))
    if kind.startswith("union_tag_"):
        field = str(context["discriminator"]).strip("'")
        is_field = field.isidentifier()
        wanted = f"must be one of {', '.join(tags_of(place.inside))}"
        return {
            "type": kind,
            "loc": (*place.path, field) if is_field else place.path,
            "is_of_one_way": False,
            "msg": wanted if kind == "union_tag_invalid" or not is_field else f"is missing: it {wanted}",
        }
    told = _message(kind, context, fault, place)
    return {"type": kind, "loc": place.path, "is_of_one_way": place.is_of_one_way, "msg": told}


def _message(kind: str, context: Mapping[str, Any], fault: Mapping[str, Any], place: FaultPlace) -> str:
    if kind == "extra_forbidden":
        return _unknown(place)
    if kind in _MODEL:
        return _without_fields(place)
    if kind in ("string_too_short", "too_short"):
        least = context["min_length"]
        what = "characters" if kind == "string_too_short" else "items"
        return "must not be empty" if least == 1 else f"must have at least {least} {what}"
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    message = faults.message(fault)
    is_own = message != fault["msg"]  # a validator's of ours
    subject, should, rest = message.partition(_SHOULD)
    return message if is_own or not should or " " in subject else f"must {rest}"


def _without_fields(place: FaultPlace) -> str:
    kinds = place.inside
    shared = [name for name in names_of(kinds) if all(name in names_of([kind]) for kind in kinds)]
    listed = ", ".join(f"`{name}`" for name in shared)
    return f"must have fields of its own: {listed}{' and others' if len(kinds) > 1 else ''}"


def _unknown(place: FaultPlace) -> str:
    known = names_of(place.around)
    close = difflib.get_close_matches(place.path[-1], known, n=1, cutoff=0.7) if place.path else []
    if close:
        return f"is unknown: did you mean `{close[0]}`?"
    return f"is unknown: known here are {', '.join(f'`{name}`' for name in known)}"
