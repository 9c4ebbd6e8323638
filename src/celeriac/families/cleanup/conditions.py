"""Conditions in SQL of the user's own: checked to be one expression, and prepared for SQLAlchemy. Pure.

They come from configuration, so this is no defence against their author. It finds what would make a statement mean
something else than it seems to: a comment that hides the rest, a second statement, brackets that end ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_QUOTES = {"'": "'", '"': '"', "`": "`"}
_OPEN = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of an expression: quoted text, or what is between quoted texts."""

    text: str
    is_quoted: bool


def check_expression(sql: str) -> None:
    """
    Raises:
        ValueError: it is not one expression, or not obviously. The message says why.
    """
    brackets: list[str] = []
    for piece in _pieces(sql):
        if "\0" in piece.text:
            raise ValueError("it has a NUL character")
        if piece.is_quoted:
            if "\\" in piece.text:
                raise ValueError("databases differ in what \\ in a text means: use a parameter, such as :value")
            continue
        for mark, what in ((";", "a second statement"), ("--", "a comment"), ("/*", "a comment"), ("#", "a comment")):
            if mark in piece.text:
                raise ValueError(f"{mark} may begin {what}: give one expression")
        if "$" in piece.text:
            raise ValueError("$ may begin a text: use a parameter, such as :value")
        for character in piece.text:
            if character in _OPEN:
                brackets.append(_OPEN[character])
            elif character in _OPEN.values() and (not brackets or brackets.pop() != character):
                raise ValueError(f"a {character} closes nothing")
    if brackets:
        raise ValueError(f"a {brackets[-1]} is missing")
    if not sql.strip():
        raise ValueError("it is empty")


def names_of_parameters(sql: str) -> set[str]:
    """Return the names of the parameters, `:name`. A cast `::type` has none."""
    return {name for piece in _pieces(sql) if not piece.is_quoted for name in _names(piece.text)}


def _names(text: str) -> Iterator[str]:
    for at, character in enumerate(text):
        before = text[at - 1] if at else " "
        if character != ":" or before == ":" or before == "_" or before.isalnum():
            continue
        end = at + 1
        while end < len(text) and (text[end] == "_" or text[end].isalnum()):
            end += 1
        if end > at + 1:
            yield text[at + 1 : end]


def for_sqlalchemy(sql: str) -> str:
    """Return the expression so that SQLAlchemy's `text` takes only parameters for parameters."""
    return "".join(piece.text.replace(":", "\\:") if piece.is_quoted else piece.text for piece in _pieces(sql))


def _pieces(sql: str) -> Iterator[_Piece]:
    """Split at quotes. Two of them within a text are one character, which looks like the end and the next beginning.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    at = 0
    while at < len(sql):
        start = at
        while at < len(sql) and sql[at] not in _QUOTES:
            at += 1
        if at > start:
            yield _Piece(sql[start:at], is_quoted=False)
        if at < len(sql):
            end = sql.find(_QUOTES[sql[at]], at + 1)
            if end < 0:
                raise ValueError(f"a {sql[at]} is not closed")
            yield _Piece(sql[at : end + 1], is_quoted=True)
            at = end + 1
