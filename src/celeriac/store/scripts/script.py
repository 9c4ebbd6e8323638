"""Typed calls of the Lua scripts, for asyncio and for blocking clients alike.

A `ScriptCall` is a script with its keys, its arguments, and the function that reads its reply. It does no I/O itself.
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
#: Finds the fields of a table in Lua: `local a, b = unpack(ARGV) -- fields: NAME`, or the parameters of a function from
#: one of them on: `local function f(x, a, b) -- fields: NAME from a`.
_DECLARED = re.compile(
    r"local (?:function \w+\(([\w\s,]+)\)|([\w\s,]+?)\s*=\s*unpack\(ARGV[^\n]*\)) -- fields: (\w+)(?: from (\w+))?"
)
_WIDTH = re.compile(r"WIDTH\.(\w+)")


@dataclass(frozen=True, eq=False)
class Script:
    """A Lua script of `store/scripts/`, preceded by the shared functions that it uses.

    `when_full` lets it run on a server that has reached its `maxmemory`. Scripts of workers need that to empty a full
    server. It requires Redis 7 or Valkey.

    `args` and `rows` are named tuples: the fields of the arguments that each call has once, and of those that it has
    several times. Lua names the same fields, and writes `WIDTH.NAME` for their number. `store/declared.py` compares
    both when a process starts, so that a field which only one side has never shifts an argument.
    """

    name: str
    args: type[tuple[Argument, ...]]
    rows: Mapping[str, type[tuple[Argument, ...]]] = field(default_factory=dict[str, type[tuple[Argument, ...]]])
    when_full: bool = False

    @cached_property
    def source(self) -> str:
        """The source that is sent to the server.

        Raises:
            InstallationBroken: its file cannot be read, or Lua and Python do not have the same tables with the same
                fields.
        """
        flags = "#!lua flags=allow-oom\n" if self.when_full else ""
        return flags + self.with_widths(_with_functions(_read(f"{self.name}.lua")))

    @cached_property
    def sha(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @property
    def loading(self) -> Command:
        """The command that shows the script to a server."""
        return ("SCRIPT LOAD", self.source)

    def with_widths(self, text: str) -> str:
        """Replace each `WIDTH.NAME` in the Lua code `text` by the number of fields.

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
    """A shared function, with the words that occur in it."""

    name: str
    code: str
    words: set[str]


@cache
def _shared_functions() -> list[_Function]:
    """Return the functions of `_lib.lua`, from the last to the first. Each uses only functions before it."""
    found = _FUNCTION.findall(_read("_lib.lua"))
    return [
        _Function(code.removeprefix("local function ").partition("(")[0], code, _words(code))
        for code in reversed(found)
    ]


def _read(name: str) -> str:
    try:
        return (_FOLDER / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InstallationBroken(f"{name} cannot be read: {type(error).__name__}; install celeriac anew") from error


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_REMARK.sub("", text)))


def _with_functions(text: str) -> str:
    """Put the shared functions that `text` uses before it, and no others: a server defines all at each call."""
    words, parts = _words(text), [text]
    for name, code, its_words in _shared_functions():
        if name in words:
            words |= its_words
            parts.append(code)
    return "\n".join(reversed(parts))


@dataclass(frozen=True, slots=True)
class ScriptCall(Generic[T]):
    """One call of a script. `parse` turns its raw reply into the caller's result."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]
    parse: Callable[[Any], T]

    @property
    def command(self) -> Command:
        """Return the command for a server that has seen the script."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    @property
    def command_with_source(self) -> Command:
        """Return the command for a server that has not seen the script."""
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.args)
