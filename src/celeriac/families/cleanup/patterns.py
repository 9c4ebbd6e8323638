"""New values in the place of personal data. The same row gets the same value each time, so that work ends."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from string import ascii_lowercase, digits, hexdigits
from typing import Any

#: How a hash begins. The rest is hexadecimal digits, as many as there is room for, but not fewer than such.
HASHED = "anon-"
SHORTEST_HASH = 16
_DIGITS = 32
_ALPHABETS = {"digits": digits, "letters": ascii_lowercase}
_MOST = 100


def hashed(value: Any, secret: bytes, length: int | None) -> Any:
    """Return the HMAC of a text, cut to the column's length. NULL, and what was hashed before, stay.

    Args:
        value: the text.
        secret: who does not have it cannot try texts until one has the same hash.
        length: characters that the column has room for.
    """
    if value is None or _is_hash(str(value)):
        return value
    digest = hmac.new(secret, str(value).encode(), hashlib.sha256).hexdigest()[:_DIGITS]
    return (HASHED + digest)[:length]


def _is_hash(text: str) -> bool:
    digest = text.removeprefix(HASHED)
    return len(digest) < len(text) and set(digest) <= set(hexdigits)


def check_pattern(pattern: str) -> None:
    """
    Raises:
        ValueError: it has a placeholder that is not known. The message names those that are.
    """
    for _ in _parts(pattern):
        pass


def filled(pattern: str, key: Sequence[Any], column: str) -> str:
    """Return the pattern's text for the row with that key."""
    name = "-".join(map(str, key))
    stream = _stream(f"{column}\0{name}")
    made: list[str] = []
    for text, kind, count in _parts(pattern):
        made.append(text)
        if kind == "key":
            made.append(name)
        elif kind:
            alphabet = _ALPHABETS[kind]
            made.append("".join(alphabet[next(stream) % len(alphabet)] for _ in range(count)))
    return "".join(made)


def _stream(seed: str) -> Iterator[int]:
    number = 0
    while True:
        yield from hashlib.sha256(f"{number}\0{seed}".encode()).digest()
        number += 1


def _parts(pattern: str) -> Iterator[tuple[str, str, int]]:
    """Give each text with the placeholder after it, and that one's number of characters."""
    rest = pattern
    while rest:
        text, brace, rest = rest.partition("{")
        if not brace:
            yield text, "", 0
            return
        inside, end, rest = rest.partition("}")
        kind, _, number = inside.partition(":")
        is_count = number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST
        if not end or not (inside == "key" or (kind in _ALPHABETS and is_count)):
            raise ValueError(f"{{{inside[:50]}}} is no placeholder: use {{key}}, {{digits:6}} or {{letters:8}}")
        yield text, kind, int(number or 0)
