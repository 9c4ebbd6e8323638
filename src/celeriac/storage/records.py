"""The form of the small records that stand beside files: a JSON object with the fields of a dataclass."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.core import codec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger("celeriac")

R = TypeVar("R", bound="DataclassInstance")


def encoded(record: DataclassInstance) -> bytes:
    """The content of a record's file. The record has the field `created_at`."""
    fields = asdict(record)
    return codec.dumps({**fields, "created_at": fields["created_at"].isoformat()})


def decoded(kind: type[R], content: bytes | None, path: str) -> R | None:
    """The record of a file's content; None if there is none.

    One that cannot be read counts as none: a machine that lost its power may leave an empty file. A sweep deletes it.
    """
    if content is None:
        return None
    try:
        fields: dict[str, Any] = codec.loads(content)
        return kind(**{**fields, "created_at": datetime.fromisoformat(fields["created_at"])})
    except (ValueError, TypeError, KeyError) as error:
        log.warning("the record %s cannot be read (%s); it counts as deleted", path, type(error).__name__)
        return None
