"""Reads the blocks of a Markdown page, and compares what a command printed with what the page says it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Languages of blocks that are run, and of those that only show something. A page may use no others.
CODE = frozenset({"python", "console", "js"})
DATA = frozenset({"text", "toml", "mermaid", "json", "yaml"})

_PRINTS = "# => "
_FENCE = re.compile(r"```(\S*)\s*$")
_DIRECTIVE = re.compile(r"<!-- (not run|start): (.+?) -->\s*$")
_FILE = re.compile(r"(?:#|//) file: (\S+)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, or (with the language `start`) a directive that starts processes beside the page.

    `line` is that of its first line of text. `not_run` is the page's reason for not running it.
    """

    language: str
    text: str
    line: int
    not_run: str | None = None

    @property
    def file(self) -> str | None:
        """The name of the file it is, from a first line `# file: NAME`."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Command:
    """A line of a console block that starts with `$ `, and what is printed after it."""

    text: str
    output: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks and directives of a page, in order."""
    lines = page.read_text().splitlines()
    number, reason = 0, None
    while number < len(lines):
        line, number = lines[number], number + 1
        if found := _DIRECTIVE.match(line):
            if found[1] == "not run":
                reason = found[2]
            else:
                yield Block("start", found[2], number)
        elif found := _FENCE.match(line):
            end = lines.index("```", number)
            yield Block(found[1], "\n".join(lines[number:end]), number + 1, reason)
            number, reason = end + 1, None
        elif line:
            reason = None


def commands(block: Block) -> list[Command]:
    """The commands of a console block. A command goes on in the next line after a backslash."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif found and not found[-1][1] and found[-1][0][-1].endswith("\\"):
            found[-1][0].append(line)
        else:
            found[-1][1].append(line)
    return [Command("\n".join(command), "\n".join(output)) for command, output in found]


def output_of(block: Block) -> str:
    """What a python block prints: its lines that start with `# => `."""
    return "\n".join(line.removeprefix(_PRINTS) for line in block.text.splitlines() if line.startswith(_PRINTS))


def matches(expected: str, printed: str) -> bool:
    """Whether the whole of `printed` is as expected; `...` stands for any text."""
    return re.fullmatch(_pattern(expected), _trimmed(printed), re.DOTALL) is not None


def occurs(expected: str, printed: str) -> bool:
    """Whether the lines of `expected` are in `printed`, in that order; others may stand before and between."""
    wanted = [_pattern(line) for line in _trimmed(expected).splitlines() if line != "..."]
    return re.search(".*?".join(wanted), printed.replace("\t", " "), re.DOTALL) is not None


def _pattern(expected: str) -> str:
    return re.escape(_trimmed(expected)).replace(r"\.\.\.", ".*?")


def _trimmed(text: str) -> str:
    """The text as a page writes it: a list in a pipe has tabs between its columns, a page has one space."""
    return "\n".join(line.rstrip().replace("\t", " ") for line in text.strip().splitlines())
