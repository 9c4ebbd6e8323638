"""Finds the exception that a task raised where Celery passes on a picklable one in its place.

If an exception cannot be pickled, Celery's tracer gives the result backend one of its nearest picklable base class, or
an `UnpickleableExceptionWrapper`. At that time, `sys.exc_info` still has the original.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

from celery.utils.serialization import UnpickleableExceptionWrapper, create_exception_cls


def original_of(error: BaseException) -> BaseException:
    """Return the exception for which `error` stands: the one being handled, or its cause or context, else `error`."""
    handled = sys.exc_info()[1]
    if handled is None or handled is error:
        return error
    try:
        for raised in (handled, handled.__cause__, handled.__context__):
            if raised is not None and _stands_for(error, raised):
                return raised
    except BaseException:  # the methods of a user's exception class may raise anything
        return error
    return error


def remade(stored: Any, made: Any) -> Any:
    """Make the error of a stored outcome again. `made` is Celery's attempt, and is kept if it has the right class.

    If a class does not accept the stored arguments, Celery makes a plain `Exception` that names the class in its text.
    The error made here has its class and its message, but no attributes that its `__init__` would have set.
    """
    if type(made) is not Exception or not isinstance(stored, dict):
        return made
    facts = cast("dict[str, Any]", stored)
    name, module, given = str(facts.get("exc_type")), facts.get("exc_module"), facts.get("exc_message")
    if name == Exception.__name__:
        return made
    arguments: Sequence[Any] = cast("Sequence[Any]", given) if isinstance(given, list | tuple) else (given,)
    cls: Any = sys.modules.get(str(module))
    for part in name.split("."):
        cls = getattr(cls, part, None)
    try:
        error = cls.__new__(cls, *arguments)
        str(error)
    except Exception:  # it has a `__new__` of its own, or its `__str__` wants what `__init__` sets
        return create_exception_cls(name, module)(*arguments)
    return error if isinstance(error, BaseException) else made


def _stands_for(error: BaseException, raised: BaseException) -> bool:
    cls = type(raised)
    if isinstance(error, UnpickleableExceptionWrapper):
        return (error.exc_module, error.exc_cls_name) == (cls.__module__, cls.__name__)
    if error is raised or type(error) not in cls.__mro__[1:]:
        return False
    if error.__traceback__ is not None and error.__traceback__ is raised.__traceback__:
        return True
    return len(error.args) == len(raised.args) and all(a is b for a, b in zip(error.args, raised.args, strict=True))
