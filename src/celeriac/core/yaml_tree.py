"""Looks through YAML before values are made of it: what is wrong is told with its line and its place in the file."""

from __future__ import annotations

from typing import Any

#: Aliases make a file short, but whoever reads what it says reads each part as often as it is named.
_MOST_PARTS = 100_000
_TAGS = "tag:yaml.org,2002:"
#: Keys that have a meaning of their own.
_SPECIAL = (f"{_TAGS}merge", f"{_TAGS}value")
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "timestamp": "a date or time",
    "binary": "base64",
    "null": "null",
}


def check_tree(loader: Any, root: Any, text: str) -> None:
    """Make the single values of a file, which the loader then has, and look at what holds them.

    Args:
        loader: PyYAML's, which has read the file.
        root: what it has read.
        text: of the file.

    Raises:
        ValueError: a value is none of its type, a key is in a mapping twice, or aliases stand for too much.
    """
    _Tree(loader, text).parts_of(root, ())


class _Tree:
    def __init__(self, loader: Any, text: str) -> None:
        self._loader = loader
        self._text = text
        #: How many values a node stands for; None while they are counted.
        self._parts: dict[int, int | None] = {}

    def parts_of(self, node: Any, path: tuple[str, ...]) -> int:
        """Check a node, and return how many values it stands for."""
        if id(node) in self._parts:
            known = self._parts[id(node)]
            if known is None:
                raise _fault(node, path, "an alias stands for a part of itself")
            return known
        self._parts[id(node)] = None
        parts = 1
        if node.id == "scalar":
            self._make(node, path)
        elif node.id == "mapping":
            parts += self._of_mapping(node, path)
        else:
            parts += sum(self.parts_of(item, (*path, str(place))) for place, item in enumerate(node.value))
        if parts > _MOST_PARTS:
            told = f"with what its aliases stand for, it has more than {_MOST_PARTS:,} values, which no definition has"
            raise _fault(node, path, told)
        self._parts[id(node)] = parts
        return parts

    def _of_mapping(self, node: Any, path: tuple[str, ...]) -> int:
        """YAML forbids that a key is there twice, and its parser takes the last one in silence."""
        parts = 0
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise ValueError(f"line {line}: `{name}` is given twice, in line {lines[name]} as well")
            lines[name] = line
            inner = (*path, name if key.id == "scalar" else "?")
            if key.tag not in _SPECIAL:
                parts += self.parts_of(key, inner)
            parts += self.parts_of(value, inner)
        return parts

    def _make(self, node: Any, path: tuple[str, ...]) -> None:
        """What PyYAML raises for a value that its tag or its look does not fit depends on the type."""
        if node.tag not in self._loader.yaml_constructors:
            raise _fault(node, path, f"the tag {_tag(node)} has no meaning here; take it away")
        try:
            self._loader.construct_object(node, deep=True)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError, self._marked_error()):
            what = _WORDS.get(node.tag.removeprefix(_TAGS), "something else")
            if self._text[node.start_mark.index : node.start_mark.index + 1] == "!":
                told = f"its tag {_tag(node)} says that it is {what}, which it is not; take the tag away"
            else:
                told = f"it is read as {what}, and cannot be that; put it into quotes if it is a text"
            raise _fault(node, path, told) from None

    def _marked_error(self) -> type[Exception]:
        from yaml import MarkedYAMLError  # only where there are files

        return MarkedYAMLError


def _tag(node: Any) -> str:
    return "!!" + node.tag.removeprefix(_TAGS) if node.tag.startswith(_TAGS) else node.tag


def _fault(node: Any, path: tuple[str, ...], told: str) -> ValueError:
    place = f"{'.'.join(path)}: " if path else ""
    return ValueError(f"line {node.start_mark.line + 1}: {place}{told}")
