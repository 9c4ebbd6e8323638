"""kombu's marks in JSON, where typed jobs and Celery's publishers meet.

kombu writes what JSON does not know as `{"__type__": "datetime", "__value__": "..."}`, and reads all that looks so.
Typed jobs have JSON alone: to them it is data.
"""

from __future__ import annotations

from typing import Any, cast

from kombu.utils.json import object_hook
from pydantic_core import PydanticSerializationError, to_jsonable_python

from celeriac.core.errors import InvalidArguments
from celeriac.core.spec import JobSpec


def in_json_types(arguments: Any) -> Any:
    """Arguments of a typed job that Celery publishes, as its own enqueuers send them: a `datetime` as text, say."""
    try:
        return to_jsonable_python(arguments)
    except (PydanticSerializationError, ValueError):  # which whoever writes the message will refuse, too
        return arguments


def validated(spec: JobSpec, args: Any, kwargs: Any) -> dict[str, Any]:
    """A typed job's arguments. Where they fit only if marks are read as such, another producer has made them.

    Raises:
        InvalidArguments: they do not fit.
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
