"""Renders templates that do no more than put values into a text, without Jinja, and with the same result.

Most templates of mails are such templates. What never changes of them is encoded once, by whole lines; lines with
values are encoded for each mail. Where a value is no plain text or number, or is missing, Jinja has to render it, which
also finds the words for what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import nodes
from markupsafe import escape

from celeriac.families.email.sandbox import MAX_OUTPUT

#: Names that mean something else in Jinja, whatever the data holds.
_SPECIAL = frozenset({"self", "super", "loop", "caller", "varargs", "kwargs"})
_ESCAPED = re.compile("""[&<>"']""")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MAX_BITS = 64
#: Characters of lines that never change which are worth a place of their own.
_LONG = 500

Encode = Callable[[str], bytes]


class Hole(NamedTuple):
    """A place for the value of a variable."""

    name: str


class _Text(NamedTuple):
    """A text with places for values: a format for the operator `%`, and the names of the variables."""

    format: str
    names: tuple[str, ...]


class _Static(NamedTuple):
    """Lines that are the same in each mail, and how many characters they had."""

    encoded: bytes
    length: int


class Straight:
    """Such a template. `of` makes it."""

    def __init__(self, pieces: Sequence[str | Hole], *, escaped: bool, encode: Encode) -> None:
        self._escaped = escaped
        self._encode = encode
        self._text = _text(pieces)
        self._runs = _runs(pieces, encode)

    @classmethod
    def of(cls, tree: nodes.Template, *, escaped: bool, encode: Encode) -> Straight | None:
        """Return the template with this tree. None: it has more than texts and values.

        Args:
            escaped: whether values are escaped for HTML.
            encode: encodes whole lines, each for itself, and ends the last one if it has no end.
        """
        pieces = list[str | Hole]()
        for output in tree.body:
            if not isinstance(output, nodes.Output):
                return None
            for node in output.nodes:
                if isinstance(node, nodes.TemplateData):
                    pieces.append(node.data)
                elif isinstance(node, nodes.Name) and node.name not in _SPECIAL:
                    pieces.append(Hole(node.name))
                else:
                    return None
        return cls(pieces, escaped=escaped, encode=encode)

    def render(self, variables: Mapping[str, Any]) -> str | None:
        """Return the text. None: Jinja has to render it."""
        text = self._filled(self._text, variables)
        return None if text is None or len(text) > MAX_OUTPUT else text

    def encoded(self, variables: Mapping[str, Any]) -> bytes | None:
        """Return the text, encoded. None: Jinja has to render it."""
        parts, length = list[bytes](), 0
        for run in self._runs:
            if isinstance(run, _Static):
                parts.append(run.encoded)
                length += run.length
                continue
            text = self._filled(run, variables)
            if text is None:
                return None
            if text or not parts:  # the encoder would end an empty last line
                parts.append(self._encode(text))
            length += len(text)
        return None if length > MAX_OUTPUT else b"".join(parts)

    def _filled(self, text: _Text, variables: Mapping[str, Any]) -> str | None:
        values = list[str]()
        for name in text.names:
            value = variables.get(name)
            if type(value) is int and value.bit_length() <= _MAX_BITS:
                value = str(value)
            elif type(value) is not str:
                return None
            values.append(str(escape(value)) if self._escaped and _ESCAPED.search(value) else value)
        return text.format % tuple(values)


def _text(pieces: Sequence[str | Hole]) -> _Text:
    written = "".join("%s" if isinstance(piece, Hole) else piece.replace("%", "%%") for piece in pieces)
    return _Text(written, tuple(piece.name for piece in pieces if isinstance(piece, Hole)))


def _runs(pieces: Sequence[str | Hole], encode: Encode) -> list[_Static | _Text]:
    """Divide a template into lines that are the same in each mail, and lines with values. None is cut.

    A few lines between lines with values stay with these: to encode them again is faster than to put them in.
    """
    runs, begun, static = list[_Static | _Text](), list[str | Hole](), list[str]()
    for line in _lines(pieces):
        if all(isinstance(piece, str) for piece in line):
            static += [piece for piece in line if isinstance(piece, str)]
            continue
        if sum(map(len, static)) >= _LONG:
            runs += [_text(begun)] if begun else []
            runs.append(_static(static, encode))
            begun, static = [], []
        begun += [*static, *line]
        static = []
    runs += [_text(begun)] if begun else []
    runs += [_static(static, encode)] if static or not runs else []
    return runs


def _lines(pieces: Sequence[str | Hole]) -> list[list[str | Hole]]:
    lines = list[list[str | Hole]]([[]])
    for piece in pieces:
        if isinstance(piece, Hole):
            lines[-1].append(piece)
            continue
        for line in _LINE.findall(piece):
            lines[-1].append(line)
            if line.endswith("\n"):
                lines.append([])
    return lines


def _static(lines: Sequence[str], encode: Encode) -> _Static:
    joined = "".join(lines)
    return _Static(encode(joined), len(joined))
