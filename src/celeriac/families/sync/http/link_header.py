"""Reads the `Link` header (RFC 8288)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: What may stand around the parts of a link.
_SPACES = " \t"


def link_of(headers: Iterable[str], rel: str) -> str | None:
    """Return the target of the first link of this relation, as it is written there; None if there is none.

    A link may have several relations. One with an anchor says something of another page, and is left out.
    """
    wanted = rel.lower()
    for header in headers:
        for target, parameters in _links_in(header):
            if "anchor" not in parameters and wanted in parameters.get("rel", "").lower().split():
                return target
    return None


def _links_in(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    rest = header.lstrip(_SPACES + ",")
    while rest.startswith("<"):
        target, closed, rest = rest[1:].partition(">")
        if not closed:
            return
        parameters: dict[str, str] = {}
        rest = rest.lstrip(_SPACES)
        while rest.startswith(";"):
            name, value, rest = _parameter_of(rest[1:].lstrip(_SPACES))
            parameters.setdefault(name.lower(), value)  # of two with one name, the first counts
        yield target, parameters
        if rest and not rest.startswith(","):
            return
        rest = rest.lstrip(_SPACES + ",")


def _parameter_of(text: str) -> tuple[str, str, str]:
    """Return name and value of the parameter at the beginning, and what follows."""
    end = next((at for at, letter in enumerate(text) if letter in "=;,"), len(text))
    name, rest = text[:end].rstrip(_SPACES), text[end:]
    if not rest.startswith("="):
        return name, "", rest
    rest = rest[1:].lstrip(_SPACES)
    if rest.startswith('"'):
        value, rest = _quoted(rest[1:])
    else:
        end = next((at for at, letter in enumerate(rest) if letter in ";,"), len(rest))
        value, rest = rest[:end].rstrip(_SPACES), rest[end:]
    return name, value, rest.lstrip(_SPACES)


def _quoted(text: str) -> tuple[str, str]:
    """Return the text up to the closing quote, and what follows it."""
    letters: list[str] = []
    at = 0
    while at < len(text) and text[at] != '"':
        at += text[at] == "\\"
        letters.append(text[at : at + 1])
        at += 1
    return "".join(letters), text[at + 1 :]
