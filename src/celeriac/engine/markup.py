"""Reconciles kombu's type marks in JSON with typed jobs, whose arguments are plain JSON.

Kombu writes a type that JSON does not have as `{"__type__": "datetime", "__value__": "..."}`, and decodes all objects
of this form. To a typed job such an object is data.
"""

from __future__ import annotations

from typing import Any, cast

from kombu.utils.json import object_hook
from pydantic_core import PydanticSerializationError, to_jsonable_python

from celeriac.core.errors import InvalidArguments
from celeriac.core.spec import JobSpec


def in_json_types(arguments: Any) -> Any:
    """Convert arguments that Celery publishes for a typed job to plain JSON types, as `enqueue` does."""
    try:
        return to_jsonable_python(arguments)
    except (PydanticSerializationError, ValueError):  # Celery's serializer will refuse them as well
        return arguments


def validated(spec: JobSpec, args: Any, kwargs: Any) -> dict[str, Any]:
    """Validate a typed job's arguments. If they do not fit, decode kombu's marks: a stock producer may have sent them.

    Raises:
        InvalidArguments: the arguments do not fit.
    """
    try:
        return spec.validate_sent(args, kwargs)
    except InvalidArguments as error:
        try:
            return spec.validate(_read(args), _read(kwargs))
        except Exception:
            raise error from None


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return object_hook({name: _read(part) for name, part in cast("dict[str, Any]", value).items()})
    return [_read(part) for part in cast("list[Any]", value)] if isinstance(value, list | tuple) else value
