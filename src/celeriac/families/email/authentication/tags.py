"""Reads lists of tags: `v=DMARC1; p=none` (RFC 6376, 3.2; RFC 9989, 4.7)."""

from __future__ import annotations


def parse_tags(text: str) -> dict[str, str]:
    """Return the tags in their order. Names are in lower case.

    Raises:
        ValueError: names the part that is no tag, or that is there twice.
    """
    tags = dict[str, str]()
    for part in text.split(";"):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise ValueError(f"{part.strip()[:60]!r} is no tag; expected name=value, separated by semicolons")
        if name.lower() in tags:
            raise ValueError(f"the tag {name[:20]!r} is there twice")
        tags[name.lower()] = value
    return tags
