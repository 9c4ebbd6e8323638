"""Sources that an application writes itself: async generators with names."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, JsonValue, create_model

from celeriac.core.checks import shown
from celeriac.core.yaml_files import validated
from celeriac.families.sync.errors import SourceFailed, SyncInvalid
from celeriac.families.sync.pages import Asked, Page, Place, Record, Refusal
from celeriac.families.sync.seen import Seen

#: Records that come one by one are written together.
_TOGETHER = 500
_LONGEST_NAME = 100
_EXACT = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What a run asks a source for. The parameter with this annotation gets it.

    Attributes:
        stream: the name of the stream to read.
        cursor: the value of the stream's cursor from which on records are wanted; None: all.
        parent: the record of the parent whose children are wanted; None: the stream has none.
        token: what the last `SourcePage` before an interruption had; None: begin at the beginning.
        kept: what the source has kept at the end of the last complete run; None: nothing, or all records are wanted.
    """

    stream: str
    cursor: JsonValue = None
    parent: Record | None = None
    token: JsonValue = None
    kept: JsonValue = None


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Records, with what the source needs to go on after them, should the run be interrupted.

    Attributes:
        records: the records.
        token: anything that JSON has: a cursor, a number, a URL. It comes back as `SourceContext.token`. None: nothing.
        time_ms: what the source's own clock says, in milliseconds since the epoch; None: unknown.
        requests: how many requests the page took.
        kept: anything that JSON has, which is stored when the run is complete, and comes back as `SourceContext.kept`.
    """

    records: Iterable[Record]
    token: JsonValue = None
    time_ms: int | None = None
    requests: int = 0
    kept: JsonValue = None


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source with a name. `parameters` is a model of its arguments; `context` names the one that gets the context."""

    name: str
    function: Callable[..., AsyncGenerator[Any]]
    parameters: type[BaseModel]
    context: str | None
    about: str = ""

    def open(self, arguments: Mapping[str, Any]) -> FunctionReader:
        """Return what reads it with these arguments.

        Raises:
            SyncInvalid: one is missing, unknown, or of another type.
        """
        try:
            checked = validated(self.parameters, dict(arguments), "parameters")
        except ValueError as error:
            raise SyncInvalid(f"source {self.name}: {error}") from None
        return FunctionReader(self, {name: getattr(checked, name) for name in self.parameters.model_fields})


class FunctionReader:
    """Reads such a source."""

    def __init__(self, source: NamedSource, arguments: Mapping[str, Any]) -> None:
        self._source = source
        self._arguments = arguments

    async def close(self) -> None:
        """Have nothing to close: the generator ends with its pages."""

    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        """Yield the pages of a stream, from the place that was asked for.

        What a source yields after its last token, or without any, is read again and left out.

        Raises:
            SourceFailed: it yields what is no record, or a token twice.
        """
        arguments = dict(self._arguments)
        if self._source.context is not None:
            arguments[self._source.context] = SourceContext(
                stream=asked.stream, cursor=asked.cursor, parent=asked.parent, token=asked.place.token, kept=asked.kept
            )
        pages = _Pages(self._source.name, asked.place)
        async with aclosing(self._source.function(**arguments)) as generator:
            async for yielded in generator:
                if (page := pages.add(yielded)) is not None:
                    yield page
        yield pages.last()


class _Pages:
    """Makes pages of what a source yields."""

    def __init__(self, name: str, place: Place) -> None:
        self._name = name
        self._token = place.token
        self._page = place.page
        #: How many items since the token have come, and how many of them were written before.
        self._seen, self._written = 0, place.skip
        self._waiting: list[Any] = []
        self._kept: JsonValue = None
        self._tokens = Seen()
        self._tokens.first(hash(orjson.dumps(place.token)), self._page)

    def add(self, yielded: Any) -> Page | None:
        """Return a page, if one is complete."""
        if isinstance(yielded, SourcePage):
            self._waiting += yielded.records
            return self._flushed(yielded)
        if isinstance(yielded, list | tuple):
            self._waiting += cast("list[Any]", yielded)
            return self._flushed(SourcePage(()))
        if not isinstance(yielded, Mapping):
            raise SourceFailed(
                f"the source {self._name} has yielded {shown(yielded)}: yield records (dicts), lists of them, or "
                "SourcePage(records, token)"
            )
        self._waiting.append(yielded)
        return self._flushed(SourcePage(())) if len(self._waiting) >= _TOGETHER else None

    def last(self) -> Page:
        """Return the last page. It may be empty."""
        records, refused, positions = self._take()
        return Page(records, None, self._page, refused, requests=0, kept=self._kept, positions=positions)

    def _flushed(self, given: SourcePage) -> Page:
        records, refused, positions = self._take()
        page = self._page
        self._kept = self._kept if given.kept is None else given.kept
        if given.token is not None:
            self._check(given.token)
            self._token, self._page, self._seen, self._written = given.token, page + 1, 0, 0
        after = Place(self._token, max(self._seen, self._written), self._page)
        return Page(records, after, page, refused, given.time_ms, given.requests, positions=positions)

    def _take(self) -> tuple[list[Record], list[Refusal], list[int]]:
        """Return what waits, without what was written before: records, what is none, and the records' places."""
        start, items = self._seen, self._waiting
        self._seen, self._waiting = start + len(items), []
        begin = max(start, min(self._written, self._seen))
        records: list[Record] = []
        refused: list[Refusal] = []
        positions: list[int] = []
        for position, item in enumerate(items[begin - start :], begin):
            if isinstance(item, Mapping) and all(type(name) is str for name in cast("Mapping[Any, Any]", item)):
                records.append(cast("Record", item))
                positions.append(position)
            else:
                refused.append(Refusal("is no object whose names are text", item, position))
        return records, refused, positions

    def _check(self, token: JsonValue) -> None:
        try:
            known = orjson.dumps(token)
        except TypeError as error:
            raise SourceFailed(f"the source {self._name} gives a token that is no JSON: {error}") from None
        if self._tokens.first(hash(known), self._page + 1) <= self._page:
            raise SourceFailed(
                f"the source {self._name} goes round in circles: it gives the token {shown(token)} a second time"
            )


@dataclass(slots=True)
class PythonSources:
    """The sources that an application has written, by name."""

    _named: dict[str, NamedSource] = field(default_factory=dict[str, NamedSource])

    def __iter__(self) -> Iterator[NamedSource]:
        return iter(sorted(self._named.values(), key=lambda source: source.name))

    def get(self, name: str) -> NamedSource:
        """Return the source of that name.

        Raises:
            SyncInvalid: there is none.
        """
        found = self._named.get(name)
        if found is None:
            known = ", ".join(sorted(self._named)) or "there are none"
            raise SyncInvalid(f"no source is named {name[:_LONGEST_NAME]!r}; those with @app.sync_source: {known}")
        return found

    def add(self, function: Callable[..., Any], name: str | None = None) -> NamedSource:
        """Make a function a source.

        Raises:
            SyncInvalid: it is no async generator, a parameter has no annotation, or the name is taken.
        """
        source = named_source(function, name)
        if source.name in self._named:
            raise SyncInvalid(f"two sources are named {source.name!r}")
        self._named[source.name] = source
        return source


def named_source(function: Callable[..., Any], name: str | None = None) -> NamedSource:
    """Make a source of an async generator function. Its parameters are what definitions may choose.

    Raises:
        SyncInvalid: it is none, or a parameter has no annotation.
    """
    called = name or str(getattr(function, "__name__", ""))
    if not called or len(called) > _LONGEST_NAME or not called.isprintable():
        raise SyncInvalid(f"{called[:_LONGEST_NAME]!a} cannot be the name of a source")
    if not inspect.isasyncgenfunction(function):
        raise SyncInvalid(f"source {called}: write an `async def` that yields records")
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    context = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SyncInvalid(f"source {called}: parameter {parameter} cannot be given by name")
        if parameter.name not in hints:
            raise SyncInvalid(f"source {called}: parameter {parameter.name} needs an annotation")
        if hints[parameter.name] is SourceContext:
            context = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    model = create_model(called, __config__=_EXACT, **fields)
    about = (inspect.getdoc(function) or "").split("\n\n")[0]
    return NamedSource(called, function, model, context, about)
