"""What children have of the record that is their parent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from celeriac.families.sync.converting import to_json
from celeriac.families.sync.model import Stream
from celeriac.families.sync.pages import Page, Record
from celeriac.families.sync.states import forget_parents

log = logging.getLogger("celeriac")


def with_parent(stream: Stream, page: Page, parent: Record) -> Page:
    """Add the parent's fields to each child of a page: few APIs repeat them."""
    assert stream.parent is not None
    own = {f"{stream.parent.stream}_{name.replace('.', '_')}": value for name, value in parent.items()}
    return replace(page, records=[{**record, **own} for record in page.records])


def forget_refused(connection: Connection, sync: str, stream: str, keys: Sequence[Sequence[Any]]) -> None:
    """Forget the parents with these primary keys, which have no row: their children would be nobody's."""
    known = forget_parents(connection, sync, stream, [key_of(values) for values in keys])
    if known < len(keys):  # the database gives the key back in another form than the source
        log.warning(
            "sync %s: the children of %d records of %s are written, although their parents were refused",
            sync,
            len(keys) - known,
            stream,
        )


def key_of(values: Sequence[Any]) -> str:
    """Return the key of a parent, by the values of its primary key."""
    return sha256(to_json(values).encode()).hexdigest()
