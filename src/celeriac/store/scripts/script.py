"""Typed calls of the Lua scripts, for asyncio and for blocking clients alike.

A `ScriptCall` is a script with its keys and arguments and the function that reads its reply; it does no I/O itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from celeriac.core.errors import InstallationBroken

T = TypeVar("T")

_FOLDER = Path(__file__).parent
#: A function of the shared part, from its first line to its last.
_FUNCTION = re.compile(r"^local function .*?^end\n", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"--.*")
_WORD = re.compile(r"\w+")

#: What can be an argument of a script, or a part of a command.
Argument = str | bytes | int | float
Command = Sequence[Argument]
#: Where Lua names the fields of a table: `local a, b = unpack(ARGV) -- fields: NAME`, or as parameters of a function,
#: from one of them on: `local function f(x, a, b) -- fields: NAME from a`.
_DECLARED = re.compile(
    r"local (?:function \w+\(([\w\s,]+)\)|([\w\s,]+?)\s*=\s*unpack\(ARGV[^\n]*\)) -- fields: (\w+)(?: from (\w+))?"
)
_WIDTH = re.compile(r"WIDTH\.(\w+)")


@dataclass(frozen=True, eq=False)
class Script:
    """One Lua script of `store/scripts/`, with what it uses of the shared part in front of it.

    `when_full`: it runs on a server that has reached its `maxmemory` too. So do those that workers run: else nothing
    would ever be taken out of a full server. Needs Redis 7 or Valkey.

    `args` and `rows` are named tuples: the fields of the arguments that each call has, and of those that it has several
    times. Lua names the same fields, and says `WIDTH.NAME` for how many there are. Both are compared when a process
    starts (`store/declared.py`), so that a field which only one side knows shifts no argument.
    """

    name: str
    args: type[tuple[Argument, ...]]
    rows: Mapping[str, type[tuple[Argument, ...]]] = field(default_factory=dict[str, type[tuple[Argument, ...]]])
    when_full: bool = False

    @cached_property
    def source(self) -> str:
        """What is sent to the server.

        Raises:
            InstallationBroken: Lua and Python do not have the same tables with the same fields.
        """
        flags = "#!lua flags=allow-oom\n" if self.when_full else ""
        return flags + self.with_widths(_with_functions((_FOLDER / f"{self.name}.lua").read_text()))

    @cached_property
    def sha(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @property
    def loading(self) -> Command:
        """The command that shows the script to a server."""
        return ("SCRIPT LOAD", self.source)

    def with_widths(self, text: str) -> str:
        """The Lua code `text` with the number of fields for each `WIDTH.NAME`.

        Raises:
            InstallationBroken: `text` and this script do not have the same tables with the same fields.
        """
        tables: dict[str, tuple[str, ...]] = {
            name: vars(table)["_fields"] for name, table in {"args": self.args, **self.rows}.items()
        }
        found: set[str] = set()
        for parameters, variables, name, start in _DECLARED.findall(text):
            names = [word.strip() for word in (parameters or variables).split(",")]
            names = names[names.index(start) :] if start else names
            self._compare(name, names, tables.get(name, ()))
            found.add(name)
        for name in tables.keys() - found:
            self._compare(name, [], tables[name])
        return _WIDTH.sub(lambda match: str(len(tables[match[1]])), text)

    def _compare(self, table: str, lua: Sequence[str], python: Sequence[str]) -> None:
        for in_lua, in_python in zip_longest(lua, python):
            if in_lua != in_python:
                raise InstallationBroken(
                    f"{self.name}.lua: the fields of {table!r} differ from Python's: "
                    f"{in_lua or 'none'} in Lua where Python has {in_python or 'none'}; install celeriac anew"
                )


class _Function(NamedTuple):
    """A function of the shared part, with the words that occur in it."""

    name: str
    code: str
    words: set[str]


@cache
def _shared_functions() -> list[_Function]:
    """Those of `_lib.lua`, from the last to the first: each uses only functions that stand before it."""
    found = _FUNCTION.findall((_FOLDER / "_lib.lua").read_text())
    return [
        _Function(code.removeprefix("local function ").partition("(")[0], code, _words(code))
        for code in reversed(found)
    ]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_REMARK.sub("", text)))


def _with_functions(text: str) -> str:
    """`text`, and before it the shared functions that it uses: a server makes all that are there at each call."""
    words, parts = _words(text), [text]
    for name, code, its_words in _shared_functions():
        if name in words:
            words |= its_words
            parts.append(code)
    return "\n".join(reversed(parts))


@dataclass(frozen=True, slots=True)
class ScriptCall(Generic[T]):
    """One call of a script; `parse` turns its raw reply into what the caller wants to know."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]
    parse: Callable[[Any], T]

    @property
    def command(self) -> Command:
        """As it is sent to a server that has seen the script."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    @property
    def command_with_source(self) -> Command:
        """As it is sent to a server that has not."""
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.args)
