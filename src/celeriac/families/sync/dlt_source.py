"""Sources and resources of dlt as sources of syncs. Its iterators run in a thread of their own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast, get_type_hints

from celeriac.core import extras
from celeriac.core.errors import NotInstalled
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable, SyncInvalid
from celeriac.families.sync.python_source import SourceContext, SourcePage

#: Items that are fetched from the thread at once.
_TOGETHER = 500
_end = ThreadPoolExecutor.shutdown
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500


def dlt_source(make: Callable[..., Any]) -> Callable[..., AsyncGenerator[SourcePage]]:
    """Make a source of a function that returns a resource of dlt, or a source with a resource for each stream:

        @app.sync_source
        @dlt_source
        def issues(source: SourceContext, repository: str) -> DltResource:
            return github_issues(repository, since=dlt.sources.incremental("updated_at"))

    dlt's own state is kept with the stream's: a run begins with that of the last one that was complete. If the rows of
    an incremental resource are in ascending order (`row_order="asc"`), an interrupted pass goes on there. Other
    resources are read again from where the run has begun, and what was written is left out.

    Raises:
        SyncInvalid: no parameter of the function is a `SourceContext`.
    """
    hints = get_type_hints(make)
    context = next((name for name, hint in hints.items() if hint is SourceContext), None)
    if context is None:
        raise SyncInvalid(f"source {make.__name__}: give one parameter the annotation SourceContext")

    @functools.wraps(make)
    async def pages(**arguments: Any) -> AsyncGenerator[SourcePage]:
        if extras.absent(["dlt"]):
            raise NotInstalled(f"source {make.__name__}: it needs dlt: {extras.advice('dlt')}")
        asked: SourceContext = arguments[context]
        thread = ThreadPoolExecutor(1, thread_name_prefix="celeriac-dlt")
        reading = _Reading(make.__name__, lambda: make(**arguments), asked)
        try:
            while batch := await asyncio.get_running_loop().run_in_executor(thread, reading.next_batch):
                yield SourcePage(batch.items, token=batch.state, kept=batch.kept)
        finally:
            thread.submit(reading.close)
            _end(thread, wait=False)

    return pages


@dataclass(frozen=True, slots=True)
class _Batch:
    """Items, and dlt's state after exactly these; None: it cannot go on there. `kept` is its state at the end."""

    items: list[Any]
    state: str | None
    kept: str | None = None


class _Reading:
    """One iteration over a resource. All calls but the first are made in one thread."""

    def __init__(self, name: str, make: Callable[[], Any], asked: SourceContext) -> None:
        self._name = name
        self._make = make
        self._asked = asked
        self._state: dict[str, Any] = {}
        self._noted = ""
        self._resource: Any = None
        self._items: Iterator[Any] | None = None
        self._ahead: list[Any] = []
        self._is_over = False

    def next_batch(self) -> _Batch | None:
        """Return the next items; None at the end.

        dlt's state runs ahead: it tells of a whole page before that page's first item comes. So when it changes, what
        it was before is the state after all items that came before.

        Raises:
            SourceUnavailable: the resource's own request has failed in a way that may pass.
            SourceFailed: it has failed in another way.
        """
        if self._is_over:
            return None
        if self._items is None:
            self._items = self._open()
        items, self._ahead = self._ahead, []
        while True:
            try:
                item = _plain(next(self._items))
            except StopIteration:
                self._is_over = True
                return _Batch(items, None, kept=self._dumped())
            except Exception as error:
                raise self._fault(error) from error
            before, self._noted = self._noted, self._dumped()
            if before != self._noted and len(items) >= _TOGETHER and self._goes_up():
                self._ahead.append(item)
                return _Batch(items, before)
            items.append(item)
            if len(items) >= _TOGETHER and not self._goes_up():
                return _Batch(items, None)

    def close(self) -> None:
        """End the iteration."""
        with suppress(Exception):  # whatever a stranger's generator does at its end
            if self._items is not None:
                cast("Any", self._items).close()

    def _open(self) -> Iterator[Any]:
        from dlt.common import json
        from dlt.common.configuration.container import Container
        from dlt.common.pipeline import StateInjectableContext

        before = self._asked.kept if self._asked.token is None else self._asked.token
        if isinstance(before, str):
            self._state = json.typed_loads(before)
        self._resource = self._chosen(self._make())
        context = StateInjectableContext(state=cast("Any", self._state))
        with Container().injectable_context(context):
            return iter(self._resource)

    def _chosen(self, made: Any) -> Any:
        from dlt.extract import DltResource, DltSource

        if isinstance(made, DltSource):
            resources: Any = made.resources
            if self._asked.stream not in resources:
                known = ", ".join(sorted(resources))
                raise SourceFailed(f"the source {self._name} has no resource {self._asked.stream!r}, but {known}")
            return resources[self._asked.stream]
        if isinstance(made, DltResource):
            return made
        raise SourceFailed(f"the source {self._name} returns no resource or source of dlt, but {type(made).__name__}")

    def _dumped(self) -> str:
        from dlt.common import json

        return json.typed_dumps(self._state)

    def _goes_up(self) -> bool:
        """Return whether the resource promises rows in ascending order."""
        wrapper: Any = self._resource.incremental
        return getattr(getattr(wrapper, "incremental", wrapper), "row_order", None) == "asc"

    def _fault(self, error: Exception) -> Exception:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if not isinstance(cause, OSError):
            return error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        said = f"the source {self._name}: {type(cause).__name__}{f', {status}' if status else ''}"
        if status is None or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
            return SourceUnavailable(said)
        return SourceFailed(said)


def _plain(value: Any) -> Any:
    """Return times of pendulum, which dlt uses, as those of the standard library."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, datetime) and type(value) is not datetime:
        return datetime.fromisoformat(value.isoformat())
    if isinstance(value, date) and not isinstance(value, datetime) and type(value) is not date:
        return date.fromisoformat(value.isoformat())
    return value
