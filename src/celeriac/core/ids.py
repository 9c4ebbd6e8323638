"""Job ids. They are Celery task ids: UUID4 strings, unless a caller chose another."""

from __future__ import annotations

import os
import re

#: The job ids that callers may send. Celery lets callers choose ids, so this allows more than UUIDs. Each is safe
#: inside a Redis key, a URL and a log line.
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,127}\Z")
#: The variant digit for each random digit: the highest two bits become 10, the others stay random.
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def new_id() -> str:
    """Return a random UUID4 as a string (RFC 9562)."""
    return _uuid4(os.urandom(16).hex())


def new_ids(count: int) -> list[str]:
    """Return random UUID4s as strings. One call gets all random bytes, and `uuid.UUID` would cost six times as much."""
    digits = os.urandom(16 * count).hex()
    return [_uuid4(digits[start : start + 32]) for start in range(0, 32 * count, 32)]


def _uuid4(digits: str) -> str:
    """Make a UUID4 of random digits: set four bits to the version, and two to the variant."""
    variant = _VARIANT[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def is_valid_id(value: str) -> bool:
    """Return whether `value` can be a job id: 1 to 128 letters, digits, `_`, `.`, `:` or `-`; no mark comes first."""
    return _VALID.match(value) is not None
