"""Annotations that are known to be sound, so that nothing has to be built of them to find out."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import EllipsisType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

_PLAIN = {
    *(Any, NoneType, None, bool, int, float, str, bytes, Decimal, UUID, date, datetime, time, timedelta),
    *(list, dict, tuple, set, frozenset),
}
_OF_OTHERS = (list, dict, tuple, set, frozenset, Union, UnionType)


def is_sound(annotation: Any) -> bool:
    """Whether pydantic surely has a schema for it. False for all that is not obvious."""
    origin = get_origin(annotation)
    if origin in _OF_OTHERS:
        return all(is_sound(part) for part in get_args(annotation) if not isinstance(part, EllipsisType))
    if origin is not None:
        return origin is Literal
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__pydantic_complete__ is True
    return annotation in _PLAIN or (isinstance(annotation, type) and issubclass(annotation, Enum))
