"""Finds the parameters `:name` of a query, without being misled by its strings and comments.

Values are never put into the text: the database gets them beside it. What this module gets wrong is an error of the
database, and never a changed query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ONLY_SELECT = "a query can only SELECT"
_BEGINNINGS = frozenset(("SELECT", "WITH", "VALUES", "TABLE"))


@dataclass(frozen=True, slots=True)
class Query:
    """A query in pieces: text, and the names of parameters between the texts.

    Attributes:
        texts: one more than there are parameters.
        names: the parameter after each text but the last.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def parameters(self) -> list[str]:
        """Each parameter's name, in the order of their first use."""
        return list(dict.fromkeys(self.names))

    def numbered(self) -> str:
        """The query with `$1`, `$2` and so on, as Postgres wants it."""
        number = {name: index for index, name in enumerate(self.parameters, start=1)}
        return self.texts[0] + "".join(
            f"${number[name]}{text}" for name, text in zip(self.names, self.texts[1:], strict=True)
        )


def parse(sql: str) -> Query:
    """Find the parameters of a query. A trailing semicolon is dropped, because the query becomes a part of another."""
    sql = sql.strip().rstrip(";").rstrip()
    texts: list[str] = []
    names: list[str] = []
    start = 0
    for colon, name in _parameters(sql):
        texts.append(sql[start:colon])
        names.append(name)
        start = colon + 1 + len(name)
    return Query((*texts, sql[start:]), tuple(names))


def why_no_select(sql: str) -> str:
    """Say what is wrong with a query that begins with another word than a SELECT may. Empty: it may be one.

    It is for a clear message. What a query can do is held by the database, and not by its first word.
    """
    at = 0
    while at < len(sql):
        if sql.startswith("--", at):
            at = _after(sql, at, "\n")
        elif sql.startswith("/*", at):
            at = _after(sql, at + 2, "*/")
        elif sql[at].isspace() or sql[at] == "(":
            at += 1
        else:
            break
    word = _name(sql, at)
    if word.upper() in _BEGINNINGS:
        return ""
    return f"{ONLY_SELECT}; this one begins with {word[:30].upper()}" if word else f"{ONLY_SELECT}; this is none"


def _parameters(sql: str) -> Iterator[tuple[int, str]]:
    """Yield the place and the name of each parameter."""
    at = 0
    while at < len(sql):
        char = sql[at]
        if char in "'\"`":
            at = _after(sql, at + 1, char)
        elif sql.startswith("--", at):
            at = _after(sql, at, "\n")
        elif sql.startswith("/*", at):
            at = _after(sql, at + 2, "*/")
        elif char == "$" and (tag := _dollar_tag(sql, at)):
            at = _after(sql, at + len(tag), tag)
        elif sql.startswith("::", at):
            at += 2
        elif char == ":" and (name := _name(sql, at + 1)):
            yield at, name
            at += 1 + len(name)
        else:
            at += 1


def _after(sql: str, at: int, end: str) -> int:
    """Return the place after the next `end`. A doubled quote ends one string and begins another, which is the same."""
    found = sql.find(end, at)
    return len(sql) if found < 0 else found + len(end)


def _name(sql: str, at: int) -> str:
    end = at
    while end < len(sql) and (sql[end].isascii() and (sql[end].isalnum() or sql[end] == "_")):
        end += 1
    name = sql[at:end]
    return name if name.isidentifier() else ""


def _dollar_tag(sql: str, at: int) -> str:
    """Return the tag of a string in dollars (`$$` or `$tag$`), or nothing."""
    name = _name(sql, at + 1)
    end = at + 1 + len(name)
    return sql[at : end + 1] if sql[end : end + 1] == "$" else ""
