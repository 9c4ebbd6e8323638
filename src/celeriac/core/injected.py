"""What a worker fills in for a job, apart from the arguments that were sent."""

from __future__ import annotations


class Injected:
    """Base of the types whose parameters no caller gives."""

    __slots__ = ()


def is_injected(annotation: object) -> bool:
    """Whether a parameter with that annotation is filled in: the type itself, and no subclass of a user's."""
    return isinstance(annotation, type) and Injected in annotation.__bases__
