"""Reads the streams of an API page by page, and goes on at any place that was stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from yarl import URL

from celeriac.client.limits import Limits
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.auth_model import QueryAuth
from celeriac.families.sync.http.budget import PATIENCE_S, Budget
from celeriac.families.sync.http.exchange import Exchange
from celeriac.families.sync.http.guard import LoopGuard
from celeriac.families.sync.http.model import HttpSource, HttpStream
from celeriac.families.sync.http.one_page import OnePage, Plan
from celeriac.families.sync.http.paginator import Question
from celeriac.families.sync.http.passing import NotThere, Passing, Tries
from celeriac.families.sync.http.questions import question_for
from celeriac.families.sync.http.urls import Bounds
from celeriac.families.sync.pages import Asked, Page, Place
from celeriac.families.sync.secrets import Secrets

#: A body of more bytes is parsed while it comes.
WHOLE_BYTES = 8_000_000


class HttpReader:
    """An HTTP API as a source. One event loop uses it, for any number of streams at a time."""

    def __init__(
        self,
        source: HttpSource,
        streams: Mapping[str, HttpStream],
        limits: Limits,
        *,
        whole_bytes: int = WHOLE_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Connect to nothing yet.

        Args:
            source: the API.
            streams: what to read of it, by the streams' names.
            limits: `app.limits`, where all workers share the budget of requests.
            whole_bytes: a larger body is parsed while it comes.
            patience_s: for how long a page may wait for its turn. A longer wait is a `RunLater`.
        """
        self._source = source
        self._base = URL(source.url)
        self._whole_bytes = whole_bytes
        self._secrets = Secrets()
        self.hide = self._secrets.hide
        secret_param = source.auth.name if isinstance(source.auth, QueryAuth) else None
        bounds = Bounds(self._base, source.also, secret_param)
        self._budget = Budget(limits, self._base, source.rate, patience_s)
        self._exchange = Exchange(source, bounds, self._secrets, self._budget)
        self._plans = {name: Plan(source, stream, bounds, self._secrets.hide) for name, stream in streams.items()}

    async def close(self) -> None:
        """Close its connections."""
        await self._exchange.close()

    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        """Yield the pages of a stream in their order, from the place that was asked for.

        Raises:
            SourceFailed: the API refuses, or answers what cannot be right.
            SourceUnavailable: it does not answer.
            RunLater: it asks for patience for longer than a job should hold its slot.
            BrokerUnavailable: the budget of requests cannot be asked for.
        """
        plan = self._plans[asked.stream]
        guard = LoopGuard()
        place: Place | None = asked.place
        first = question_for(self._base, self._source, plan.stream, asked)
        while place is not None:
            question = first.again()
            plan.paginator.ask(question, place.token)
            try:
                guard.check_token(place.token, place.page)
            except SourceFailed as failure:
                raise SourceFailed(self._secrets.hide(str(failure))) from None
            try:
                async with aclosing(self._page(plan, question, place, guard)) as pieces:
                    async for piece in pieces:
                        place = piece.after
                        yield piece
            except NotThere:
                if asked.parent is None or place != Place():
                    raise
                yield Page((), None, requests=question.sent, is_missing=True)  # the parent was deleted meanwhile
                return

    async def _page(self, plan: Plan, question: Question, place: Place, guard: LoopGuard) -> AsyncGenerator[Page]:
        """Yield one page, in pieces if it is large. Ask for it again while it fails in a way that may pass."""
        tries = Tries(self._source)
        while True:
            reading = OnePage(plan, question, place, guard, self._whole_bytes)
            try:
                async with self._exchange.get(question) as answer:
                    page, begun, pieces = await reading.begin(answer)
                    if page is None:
                        async with aclosing(reading.rest(answer, begun, pieces)) as rest:
                            async for piece in rest:
                                yield piece
                                tries.forget()
                                place = piece.after or place
                        return
            except Passing as fault:
                if fault.seconds is not None:
                    await self._budget.close(fault.seconds)
                delay = max(tries.delay_after(fault), fault.seconds or 0)
                await asyncio.sleep(delay)
                continue
            yield page
            return
