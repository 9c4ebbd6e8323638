"""Marks types whose values the worker passes to a job, in addition to the arguments that were sent."""

from __future__ import annotations


class Injected:
    """Base of these types. Callers leave out parameters that are annotated with one."""

    __slots__ = ()


def is_injected(annotation: object) -> bool:
    """Return whether the worker passes a parameter with this annotation. It passes no subclass that a user wrote."""
    return isinstance(annotation, type) and Injected in annotation.__bases__
