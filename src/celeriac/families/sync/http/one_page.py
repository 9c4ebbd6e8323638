"""Reads one page from an answer: whole, or in pieces while it comes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from celeriac.families.sync.http.bodies import check_error, items_at
from celeriac.families.sync.http.decoding import Decoded, Examined, NotJson, decode, examine
from celeriac.families.sync.http.exchange import Answer
from celeriac.families.sync.http.guard import LoopGuard
from celeriac.families.sync.http.model import HttpSource, HttpStream
from celeriac.families.sync.http.paginations import make_paginator
from celeriac.families.sync.http.paginator import Question, Reply, find_in
from celeriac.families.sync.http.passing import Passing, moment_of
from celeriac.families.sync.http.paths import compile_path
from celeriac.families.sync.http.streamed import StreamedBody, check_once
from celeriac.families.sync.http.urls import Bounds
from celeriac.families.sync.pages import Page, Place

#: How many records, or bytes of its body, a piece of a page has.
_PIECE_RECORDS, _PIECE_BYTES = 1000, 4_000_000
_NO_CONTENT = 204


class Plan:
    """How one stream is read."""

    def __init__(self, source: HttpSource, stream: HttpStream, bounds: Bounds, hide: Callable[[str], str]) -> None:
        self.stream = stream
        self.hide = hide
        self.records = compile_path(source.records if stream.records is None else stream.records)
        self.error = stream.error or source.error
        self.paginator = make_paginator(stream.pagination or source.pagination, bounds)
        #: Paths beside the records.
        self.paths = [*self.paginator.paths, *([self.error.path] if self.error else [])]
        paths = [self.records, *map(compile_path, self.paths)]
        self.can_be_streamed = all(path.prefix is not None for path in paths)


class OnePage:
    """One page in one try. Items that were given before, in another try or another run, are not given again."""

    def __init__(self, plan: Plan, question: Question, place: Place, guard: LoopGuard, whole_bytes: int) -> None:
        self._plan = plan
        self._question = question
        self._place = place
        self._guard = guard
        self._whole_bytes = whole_bytes
        self._turn = plan.paginator.turn(place.token)
        #: How many items of the page were looked at.
        self._seen = 0

    async def begin(self, answer: Answer) -> tuple[Page | None, list[bytes], AsyncIterator[bytes]]:
        """Read the body. If it is large, return None for the page, and what `rest` needs.

        Raises:
            Passing: the page has to be asked for again.
            SourceFailed: it is not what it should be.
        """
        pieces = answer.pieces()
        begun: list[bytes] = []
        size = 0
        async for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if size > self._whole_bytes and self._plan.can_be_streamed:
                return None, begun, pieces
        return self._whole(answer, b"".join(begun)), [], pieces

    async def rest(self, answer: Answer, begun: list[bytes], pieces: AsyncIterator[bytes]) -> AsyncGenerator[Page]:
        """Yield a large page in pieces, and leave nothing of what has `begun` in memory."""
        body = StreamedBody(self._plan.records.text, self._plan.paths)
        digest = hashlib.blake2b()
        fed = 0
        async for piece in _all(begun, pieces):
            digest.update(piece)
            with _reading(answer):
                body.feed(piece)
            await asyncio.sleep(0)  # a packed answer has many pieces at once, and other jobs want to go on
            fed += len(piece)
            if len(body) >= _PIECE_RECORDS or (fed >= _PIECE_BYTES and body):
                fed = 0
                yield self._piece(answer, body.take())
        with _reading(answer):
            body.end()
        check_error(self._plan.error, body.find, self._plan.hide)
        self._guard.check_content(hash(digest.digest()), self._place.page)
        taken = body.take()
        yield self._last(answer, self._look_at(taken.value, is_strict=taken.is_strict), body.find)

    def _whole(self, answer: Answer, body: bytes) -> Page:
        if answer.response.status == _NO_CONTENT:
            return self._last(answer, Examined([], [], 0), find_in(None))
        with _reading(answer):
            decoded = decode(body)
        find = find_in(decoded.value)
        check_error(self._plan.error, find, self._plan.hide)
        check_once(self._plan.records, body, decoded.value)
        items = items_at(self._plan.records, decoded.value)
        examined = self._look_at(items, is_strict=decoded.is_strict)
        if items:
            self._guard.check_content(examined.digest, self._place.page)
        return self._last(answer, examined, find)

    def _look_at(self, items: list[Any], *, is_strict: bool = True) -> Examined:
        """Divide the next items of the page, and leave out what was given before."""
        examined = examine(items, self._seen, is_strict=is_strict)
        skipped = max(0, min(len(items), self._place.skip - self._seen))
        self._seen += len(items)
        self._turn.count += len(examined.refused)  # they are on the page as well: without them, it would seem short
        if not skipped:
            return self._without_ties(examined, examined.digest)
        before = examine(items[:skipped], is_strict=is_strict)
        rest = examine(items[skipped:], self._seen - len(items) + skipped, is_strict=is_strict)
        self._turn.take(before.records)
        return self._without_ties(rest, examined.digest)

    def _without_ties(self, examined: Examined, digest: int) -> Examined:
        """Leave out what another page has given, and keep the places of the others."""
        records, positions = self._turn.take(examined.records), examined.positions
        if len(records) < len(examined.records):
            places = {id(record): place for record, place in zip(examined.records, positions, strict=True)}
            positions = [places[id(record)] for record in records]
        return Examined(records, examined.refused, digest, positions)

    def _piece(self, answer: Answer, taken: Decoded) -> Page:
        examined = self._look_at(taken.value, is_strict=taken.is_strict)
        after = Place(self._place.token, max(self._seen, self._place.skip), self._place.page)
        return self._page(answer, examined, after)

    def _last(self, answer: Answer, examined: Examined, find: Callable[[str], Any]) -> Page:
        token = self._turn.token(Reply(answer.url, lambda name: answer.headers.getall(name, ()), find))
        after = None if token is None else Place(token, 0, self._place.page + 1)
        return self._page(answer, examined, after)

    def _page(self, answer: Answer, examined: Examined, after: Place | None) -> Page:
        sent, self._question.sent = self._question.sent, 0
        moment = _moment_of(answer.headers.get("Date", ""))
        page, positions = self._place.page, examined.positions
        return Page(examined.records, after, page, examined.refused, moment, sent, positions=positions)


@contextmanager
def _reading(answer: Answer) -> Generator[None]:
    try:
        yield
    except NotJson as error:
        kind = answer.response.content_type
        raise Passing(f"the answer is no JSON ({kind}): {error}", is_outage=error.is_cut) from None


async def _all(begun: list[bytes], pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    begun.reverse()
    while begun:
        yield begun.pop()
    async for piece in pieces:
        yield piece


_moment_of = lru_cache(maxsize=8)(moment_of)  # it names seconds, and many pages come in one
