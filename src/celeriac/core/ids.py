"""Job ids: Celery task ids, which are UUID4 strings unless a caller chose another."""

from __future__ import annotations

import os
import re
import uuid

#: What is accepted as a job id from outside. Celery lets callers choose ids, so this is wider than UUIDs, and
#: narrow enough that an id is safe inside a Redis key, a URL and a log line.
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,127}\Z")


def new_id() -> str:
    """A random UUID4 as a string (RFC 9562)."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


def is_valid_id(value: str) -> bool:
    """Whether `value` may be a job id: 1 to 128 letters, digits, `_`, `.`, `:` or `-`, not starting with a mark."""
    return _VALID.match(value) is not None
