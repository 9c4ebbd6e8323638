"""What every pagination does: it writes the request for a page, and finds the next page's token in the answer.

A token is JSON, as it is stored. None asks for the first page, and says that no other follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue
from yarl import URL

from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.paths import MISSING, compile_path
from celeriac.families.sync.pages import Record


@dataclass(slots=True)
class Question:
    """The request for a page."""

    url: URL
    params: dict[str, str | list[str]]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    #: How often it was sent since the last page.
    sent: int = 0

    def again(self) -> Question:
        """Return a copy, into which another page's token may be written."""
        return Question(self.url, dict(self.params), dict(self.headers))


@dataclass(slots=True)
class Reply:
    """What came, without the records. `find` gives what is at a path in the body, or MISSING."""

    url: URL
    headers_named: Callable[[str], Sequence[str]]
    find: Callable[[str], Any]


class Turn:
    """One page: it sees the records in pieces, and says what follows. Most paginations only count."""

    def __init__(self) -> None:
        #: How many items the page has had so far, with those that are no records.
        self.count: int = 0

    def take(self, records: Sequence[Record]) -> Sequence[Record]:
        """See the next records of the page. Return those that have not come on the page before."""
        self.count += len(records)
        return records

    def token(self, reply: Reply) -> JsonValue:
        """Return the token of the next page; None if this is the last.

        Raises:
            SourceFailed: the answer cannot be understood, or cannot be right.
        """
        raise NotImplementedError


class Paginator:
    """A pagination of one stream."""

    #: Paths in the body that it looks at.
    paths: Sequence[str] = ()

    def ask(self, question: Question, token: JsonValue) -> None:
        """Write into the request what asks for this page."""
        raise NotImplementedError

    def turn(self, token: JsonValue) -> Turn:
        """Begin to read this page."""
        raise NotImplementedError


def token_error(token: JsonValue) -> SourceFailed:
    """Say that a stored token is of another pagination."""
    return SourceFailed(
        f"the stored place {shown(token)} is none of this pagination: the definition has changed; reset the stream"
    )


def says_last(more: str | None, reply: Reply) -> bool:
    """Return whether the answer has a value which says that no page follows."""
    return more is not None and reply.find(more) in (False, None, MISSING, 0, "", "false")


def ask_for_size(question: Question, param: str | None, size: int | None) -> None:
    """Ask for pages of a size, if the API takes one."""
    if param is not None:
        question.params[param] = str(size)


def find_in(body: Any) -> Callable[[str], Any]:
    """Return what finds paths in a body that is in memory."""
    return lambda path: compile_path(path).find(body)
