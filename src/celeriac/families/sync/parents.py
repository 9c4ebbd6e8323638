"""What children have of the record that is their parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from celeriac.families.sync.converting import to_json
from celeriac.families.sync.model import Stream
from celeriac.families.sync.pages import Page, Record


def with_parent(stream: Stream, page: Page, parent: Record) -> Page:
    """Add the parent's fields to each child of a page: few APIs repeat them."""
    assert stream.parent is not None
    own = {f"{stream.parent.stream}_{name.replace('.', '_')}": value for name, value in parent.items()}
    return replace(page, records=[{**record, **own} for record in page.records])


def key_of(values: Sequence[Any]) -> str:
    """Return the key of a parent, by the values of its primary key."""
    return sha256(to_json(values).encode()).hexdigest()
