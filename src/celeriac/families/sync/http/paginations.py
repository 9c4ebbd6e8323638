"""The paginations that follow URLs, cursors and numbers, and the choice among all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.keyset import KeysetPaginator
from celeriac.families.sync.http.link_header import link_of
from celeriac.families.sync.http.pagination_model import (
    CursorPagination,
    KeysetPagination,
    LinkPagination,
    NextUrlPagination,
    OffsetPagination,
    PageNumberPagination,
    Pagination,
)
from celeriac.families.sync.http.paginator import (
    Paginator,
    Question,
    Reply,
    Turn,
    ask_for_size,
    says_last,
    token_error,
)
from celeriac.families.sync.http.paths import MISSING
from celeriac.families.sync.http.urls import Bounds


class _Urls(Paginator):
    """The answer names the next page's URL. It has all parameters, so that ours are sent for the first page only."""

    def __init__(self, what: str, target_of: Callable[[Reply], Any], bounds: Bounds) -> None:
        self._what = what
        self._target_of = target_of
        self._bounds = bounds

    def ask(self, question: Question, token: JsonValue) -> None:
        if token is None:
            return
        if not isinstance(token, str):
            raise token_error(token)
        question.url = self._bounds.next_of(question.url, token, "the stored URL of the next page")
        question.params = {}

    def turn(self, token: JsonValue) -> Turn:
        return _UrlTurn(self._what, self._target_of, self._bounds)


class _UrlTurn(Turn):
    def __init__(self, what: str, target_of: Callable[[Reply], Any], bounds: Bounds) -> None:
        super().__init__()
        self._what, self._target_of, self._bounds = what, target_of, bounds

    def token(self, reply: Reply) -> JsonValue:
        target = self._target_of(reply)
        if target in (None, MISSING, "", False):
            return None
        return str(self._bounds.next_of(reply.url, target, self._what))


class _Cursor(Paginator):
    def __init__(self, model: CursorPagination) -> None:
        self._model = model
        self.paths = [path for path in (model.from_body, model.more) if path is not None]

    def ask(self, question: Question, token: JsonValue) -> None:
        if token is None:
            return
        if isinstance(token, bool) or not isinstance(token, str | int):
            raise token_error(token)
        if self._model.to_param is not None:
            question.params[self._model.to_param] = str(token)
        elif self._model.to_header is not None:
            question.headers[self._model.to_header] = str(token)

    def turn(self, token: JsonValue) -> Turn:
        return _CursorTurn(self._model)


class _CursorTurn(Turn):
    def __init__(self, model: CursorPagination) -> None:
        super().__init__()
        self._model = model

    def token(self, reply: Reply) -> JsonValue:
        if says_last(self._model.more, reply):
            return None
        if self._model.from_header is not None:
            token: Any = next(iter(reply.headers_named(self._model.from_header)), None)
        else:
            token = reply.find(self._model.from_body or "")
        if token in (None, MISSING, "", False):
            return None
        if isinstance(token, bool) or not isinstance(token, str | int):
            raise SourceFailed(f"the token of the next page is no text or whole number: {shown(token)}")
        if isinstance(token, str) and not token.isprintable():
            raise SourceFailed("the token of the next page has control characters in it")
        return token


class _Numbered(Paginator):
    """Pages are numbered, or begin at an offset."""

    def __init__(self, model: PageNumberPagination | OffsetPagination) -> None:
        self._model = model
        self.paths = [] if model.more is None else [model.more]

    @property
    def first(self) -> int:
        return self._model.first if isinstance(self._model, PageNumberPagination) else 0

    def ask(self, question: Question, token: JsonValue) -> None:
        question.params[self._model.param] = str(self._number(token))
        ask_for_size(question, self._model.size_param, self._model.size)

    def turn(self, token: JsonValue) -> Turn:
        return _NumberedTurn(self._model, self._number(token))

    def _number(self, token: JsonValue) -> int:
        if token is None:
            return self.first
        if isinstance(token, bool) or not isinstance(token, int):
            raise token_error(token)
        return token


class _NumberedTurn(Turn):
    def __init__(self, model: PageNumberPagination | OffsetPagination, number: int) -> None:
        super().__init__()
        self._model, self._number = model, number

    def token(self, reply: Reply) -> JsonValue:
        model = self._model
        if says_last(model.more, reply):
            return None
        if model.more is None:
            if self.count == 0 or (model.short_page_ends and model.size is not None and self.count < model.size):
                return None
        elif self.count == 0 and isinstance(model, OffsetPagination):
            raise SourceFailed(
                f"the page at {model.param}={self._number} is empty, though {model.more} says that more follow: "
                "there is no offset to go on at"
            )
        return self._number + (1 if isinstance(model, PageNumberPagination) else self.count)


def _link(model: LinkPagination, bounds: Bounds) -> Paginator:
    what = f"the Link header with rel={model.rel}"
    return _Urls(what, lambda reply: link_of(reply.headers_named("link"), model.rel), bounds)


def _next_url(model: NextUrlPagination, bounds: Bounds) -> Paginator:
    paginator = _Urls(f"the next URL at {model.path!r}", lambda reply: reply.find(model.path), bounds)
    paginator.paths = [model.path]
    return paginator


def make_paginator(model: Pagination, bounds: Bounds) -> Paginator:
    """Return what follows such a pagination."""
    match model:
        case LinkPagination():
            return _link(model, bounds)
        case NextUrlPagination():
            return _next_url(model, bounds)
        case CursorPagination():
            return _Cursor(model)
        case PageNumberPagination() | OffsetPagination():
            return _Numbered(model)
        case KeysetPagination():
            return KeysetPaginator(model)
