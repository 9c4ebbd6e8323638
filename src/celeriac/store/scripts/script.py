"""Typed calls of the Lua scripts, for asyncio and for blocking clients alike.

A `ScriptCall` is a script with its keys and arguments and the function that reads its reply; it does no I/O itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_FOLDER = files("celeriac.store.scripts")
#: A function of the shared part, from its first line to its last.
_FUNCTION = re.compile(r"^local function .*?^end\n", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"--.*")


@dataclass(frozen=True)
class Script:
    """One Lua script of `store/scripts/`, with what it uses of the shared part in front of it.

    `when_full`: it runs on a server that has reached its `maxmemory` too. So do those that workers run: else nothing
    would ever be taken out of a full server. Needs Redis 7 or Valkey.
    """

    name: str
    when_full: bool = False

    @cached_property
    def source(self) -> str:
        flags = "#!lua flags=allow-oom\n" if self.when_full else ""
        return flags + _with_functions((_FOLDER / f"{self.name}.lua").read_text())

    @cached_property
    def sha(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


def _with_functions(text: str) -> str:
    """`text`, and before it the shared functions that it uses: a server makes all that are there at each call."""
    for function in reversed(_FUNCTION.findall((_FOLDER / "_lib.lua").read_text())):
        name = function.removeprefix("local function ").partition("(")[0]
        if re.search(rf"\b{name}\b", _REMARK.sub("", text)):
            text = f"{function}\n{text}"
    return text


@dataclass(frozen=True, slots=True)
class ScriptCall(Generic[T]):
    """One call of a script; `parse` turns its raw reply into what the caller wants to know."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | bytes | int]
    parse: Callable[[Any], T]

    @property
    def command(self) -> tuple[str | bytes | int, ...]:
        """As it is sent to a server that has seen the script."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)
