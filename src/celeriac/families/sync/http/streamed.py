"""Reads a large body while it comes, so that no more of it is in memory than the records that nobody has taken yet.

It only looks for brackets and strings, to find where records end. What is between is read as small bodies are, so each
value is the same, and so is what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import orjson

from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.bodies import items_at
from celeriac.families.sync.http.decoding import DEEPEST, Decoded, NotJson, decode
from celeriac.families.sync.http.paginator import find_in
from celeriac.families.sync.http.passing import Passing
from celeriac.families.sync.http.paths import JsonPath, compile_path

#: All before the next bracket, or before a string that is not complete; before the next mark; and the rest of a string.
_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_TO_MARK = re.compile(rb'[^"{}\[\],:]*+')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_QUOTE, _COLON, _BACKSLASH, _LIST, _END = b'":\\[]'
_OPENING, _CLOSING = b"{[", b"}]"


class _Where(Enum):
    AROUND = auto()
    RECORDS = auto()
    LEFT_OUT = auto()


class StreamedBody:
    """One body. What is around its records is kept where a path leads into it, and else left out."""

    def __init__(self, records: str, values: Sequence[str]) -> None:
        """Look for the list at the path `records`, and for what is at the paths `values`."""
        self._records = records
        self._wanted = {records, *values}
        self._items: list[Any] = []
        self._is_strict = True
        self._has_list = self._has_records = False
        self._around = bytearray()
        self._body: Any = None
        #: What was not cut off yet, how far it was looked at, and where the string begins in which that ends.
        self._buffer = bytearray()
        self._at = 0
        self._string: int | None = None
        self._where = _Where.AROUND
        #: Open brackets among the records, or in what is left out; the end of the last whole record.
        self._depth = 0
        self._whole = 0
        self._is_first = True
        #: The paths of open brackets around the records, None inside a list or a value that is kept; the last string.
        self._open: list[str | None] = []
        self._path: str | None = ""
        self._name = b""

    def __len__(self) -> int:
        return len(self._items)

    def feed(self, piece: bytes) -> None:
        """
        Raises:
            NotJson: it is no JSON.
            SourceFailed: what the path of the records leads to comes twice.
        """
        self._buffer += piece
        while self._step():
            pass
        if self._whole:
            self._read(self._whole)
        elif self._where is _Where.LEFT_OUT or (self._where is _Where.AROUND and self._string is None):
            self._cut(self._at)

    def end(self) -> None:
        """
        Raises:
            Passing: the body is not whole.
            NotJson: it is no JSON.
        """
        if self._string is not None or self._open or self._where is not _Where.AROUND:
            raise Passing("the JSON of the answer ends too early")
        self._cut(len(self._buffer))
        self._body = decode(bytes(self._around)).value

    def take(self) -> Decoded:
        """Return the items that have come since the last call.

        Raises:
            SourceFailed: the whole body has no list of records.
        """
        if self._body is not None and not self._has_list:
            return Decoded(items_at(compile_path(self._records), self._body))
        taken = Decoded(self._items, self._is_strict)
        self._items, self._is_strict = [], True
        return taken

    def find(self, path: str) -> Any:
        """Return what was at one of the paths, or MISSING."""
        return find_in(self._body)(path)

    def _step(self) -> bool:
        """Go on to the next bracket, mark or end of a string. Return False if that has not come yet."""
        buffer = self._buffer
        if self._string is not None:
            self._at = _IN_STRING.match(buffer, self._at).end()  # pyright: ignore[reportOptionalMemberAccess]
            if self._at == len(buffer) or buffer[self._at] == _BACKSLASH:
                return False
            self._at += 1
            self._name, self._string = bytes(buffer[self._string : self._at]), None
            return True
        to = _TO_MARK if self._where is _Where.AROUND else _TO_BRACKET
        self._at = to.match(buffer, self._at).end()  # pyright: ignore[reportOptionalMemberAccess] (it may be empty)
        if self._at == len(buffer):
            return False
        mark = buffer[self._at]
        self._at += 1
        if mark == _QUOTE:
            self._string = self._at - 1
        elif self._where is _Where.AROUND:
            self._see(mark)
        else:
            self._count(mark)
        return True

    def _count(self, mark: int) -> None:
        """Look at a bracket among the records, or in what is left out."""
        self._depth += 1 if mark in _OPENING else -1
        if self._where is _Where.RECORDS and self._depth == 1:
            self._whole = self._at
        if self._depth:
            return
        if self._where is _Where.RECORDS:
            if mark != _END:
                raise NotJson("its list of records ends with a brace", is_cut=False)
            self._read(self._at - 1)
        self._where = _Where.LEFT_OUT
        self._cut(self._at)
        self._where = _Where.AROUND

    def _see(self, mark: int) -> None:
        """Look at a mark around the records."""
        if mark in _OPENING:
            if mark == _LIST and self._path == self._records:
                self._begin_records()
            elif len(self._open) == DEEPEST:
                self._leave_out(b"null", _Where.LEFT_OUT)
            elif self._path is None or self._leads_on(self._path) or self._is_inside(self._path):
                self._enter(mark)
            else:
                self._leave_out(b"[]" if mark == _LIST else b"{}", _Where.LEFT_OUT)
        elif mark in _CLOSING:
            if not self._open:
                raise NotJson("it has a bracket too many", is_cut=False)
            self._open.pop()
            self._path = None  # until the next name
        elif mark == _COLON and self._open and self._open[-1] is not None:
            name = str(decode(self._name or b'""').value)
            self._path = f"{self._open[-1]}.{name}" if self._open[-1] else name
            if self._records and self._path == self._records:
                self._note_records()

    def _enter(self, mark: int) -> None:
        """Go into a value that is kept. Only a path that leads on is kept as well: names are a stranger's choice."""
        is_on_a_path = mark != _LIST and self._path is not None and self._leads_on(self._path)
        self._open.append(self._path if is_on_a_path else None)
        self._path = self._open[-1]

    def _leads_on(self, path: str) -> bool:
        return not path or any(one.startswith(f"{path}.") for one in self._wanted)

    def _is_inside(self, path: str) -> bool:
        return any(path == one or (one and path.startswith(f"{one}.")) for one in self._wanted)

    def _note_records(self) -> None:
        if self._has_records:
            raise SourceFailed(f"the body has records: {self._records!r} twice; nothing says which of them counts")
        self._has_records = True

    def _begin_records(self) -> None:
        if not self._records:
            self._note_records()
        self._has_list = True
        self._leave_out(b"[]", _Where.RECORDS)

    def _leave_out(self, instead: bytes, where: _Where) -> None:
        self._cut(self._at, last=1)
        self._around += instead
        self._where, self._depth = where, 1

    def _read(self, end: int) -> None:
        """Read the records up to there, and cut them off."""
        content = bytes(self._buffer[:end]).strip(b" \t\r\n")
        if not self._is_first and content:
            if not content.startswith(b","):
                raise NotJson("a comma is missing between two records", is_cut=False)
            content = content[1:]
            if not content.strip(b" \t\r\n"):
                raise NotJson("its list of records ends with a comma", is_cut=False)
        try:
            decoded = decode(b"[" + content + b"]")
        except NotJson as error:
            raise NotJson(str(error), is_cut=False) from None  # the list is whole
        self._items += decoded.value
        self._is_strict &= decoded.is_strict
        self._is_first = False
        self._drop(end)

    def _cut(self, end: int, last: int = 0) -> None:
        """Cut off what is around the records, up to there; keep it, but for the `last` bytes."""
        if self._where is _Where.AROUND:
            self._around += self._buffer[: end - last]
        self._drop(end)

    def _drop(self, end: int) -> None:
        del self._buffer[:end]
        self._at -= end
        self._whole = 0
        if self._string is not None:
            self._string = max(0, self._string - end)


def check_once(path: JsonPath, body: bytes, value: Any) -> None:
    """Refuse a body that is in memory for what it is refused for when it comes in pieces. Parsers take the last one.

    Args:
        path: of the records.
        body: as it came.
        value: what a parser has made of it.

    Raises:
        SourceFailed: what the path leads to is there twice.
    """
    if not path.prefix:
        return
    name = orjson.dumps(path.prefix.rpartition(".")[2])
    count = body.count(name)
    if count > 1 and not _has(value, name, count):
        reading = StreamedBody(path.prefix, ())
        reading.feed(body)


def _has(value: Any, name: bytes, count: int) -> bool:
    """Return whether a value has all the names that its text had: then none of them was there twice."""
    try:
        return orjson.dumps(value).count(name) == count
    except TypeError:  # it holds what orjson does not write
        return False
