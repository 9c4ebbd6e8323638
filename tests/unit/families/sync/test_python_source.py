"""Async generators as sources: what they yield becomes pages, and an interrupted one goes on where it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from celeriac.families.sync.errors import SourceFailed, SyncInvalid
from celeriac.families.sync.pages import Asked, Page, Place
from celeriac.families.sync.python_source import PythonSources, SourceContext, SourcePage, named_source


async def pages_of(function: Callable[..., Any], asked: Asked | None = None, **arguments: Any) -> list[Page]:
    reader = named_source(function).open(arguments)
    return [page async for page in reader.pages(asked or Asked(stream="s"))]


def ids(pages: list[Page]) -> list[Any]:
    return [record["id"] for page in pages for record in page.records]


async def single(source: SourceContext, count: int = 1_200) -> AsyncGenerator[Any]:
    for number in range(count):
        yield {"id": number}


async def listed(source: SourceContext) -> AsyncGenerator[Any]:
    for start in range(0, 12, 3):
        yield [{"id": number} for number in range(start, start + 3)]


async def numbered(source: SourceContext) -> AsyncGenerator[Any]:
    start = source.token if isinstance(source.token, int) else 0
    for page in range(start, 4):
        yield {"id": 3 * page}
        yield SourcePage([{"id": 3 * page + 1}, {"id": 3 * page + 2}], token=page + 1, time_ms=7, requests=2)


@pytest.mark.parametrize("function", [single, listed, numbered])
async def test_every_record_comes_once_and_from_each_place_on(function: Callable[..., Any]) -> None:
    pages = await pages_of(function)
    assert ids(pages) == list(range(1_200 if function is single else 12))
    assert len(pages) > 2 and pages[-1].after is None
    for number, page in enumerate(pages[:-1]):
        rest = await pages_of(function, Asked(stream="s", place=page.after or Place()))
        assert ids(rest) == ids(pages[number + 1 :])


async def test_a_page_carries_what_its_source_says_of_it() -> None:
    first = (await pages_of(numbered))[0]
    assert (first.after, first.source_time_ms, first.requests) == (Place(1, 0, 1), 7, 2)


async def test_a_source_gets_what_is_asked_for() -> None:
    got: list[Any] = []

    async def source(region: str, context: SourceContext, days: int = 7) -> AsyncGenerator[Any]:
        got.append((region, days, context))
        yield []

    asked = Asked(stream="orders", cursor="2026", parent={"id": 1})
    await pages_of(source, asked, region="eu", days="3")
    assert got == [("eu", 3, SourceContext(stream="orders", cursor="2026", parent={"id": 1}))]


async def test_what_is_no_record_is_refused_with_its_position() -> None:
    async def source() -> AsyncGenerator[Any]:
        yield [{"id": 0}, 7, {1: 2}, {"id": 3}]

    page = (await pages_of(source))[0]
    assert [record["id"] for record in page.records] == [0, 3]
    assert [(one.position, one.record) for one in page.refused] == [(1, 7), (2, {1: 2})]


@pytest.mark.parametrize(
    ("yielded", "fault"),
    [
        ([7], "has yielded 7: yield records"),
        (["text"], "has yielded 'text'"),
        (
            [SourcePage([], token=1), SourcePage([], token=2), SourcePage([], token=1)],
            "gives the token 1 a second time",
        ),
        ([SourcePage([], token=object())], "a token that is no JSON"),  # type: ignore[arg-type]
    ],
)
async def test_what_a_source_may_not_yield_is_named(yielded: list[Any], fault: str) -> None:
    async def source() -> AsyncGenerator[Any]:
        for each in yielded:
            yield each

    with pytest.raises(SourceFailed, match=fault):
        await pages_of(source)


async def test_a_source_that_fails_to_go_on_from_its_own_token_is_a_loop() -> None:
    async def source(context: SourceContext) -> AsyncGenerator[Any]:
        yield SourcePage([{"id": 1}], token="same")

    with pytest.raises(SourceFailed, match="a second time"):
        await pages_of(source, Asked(stream="s", place=Place("same", 0, 1)))


async def test_the_generator_ends_with_its_reader() -> None:
    ended: list[bool] = []

    async def source() -> AsyncGenerator[Any]:
        try:
            while True:
                yield [{"id": 1}]
        finally:
            ended.append(True)

    generator = named_source(source).open({}).pages(Asked(stream="s"))
    await anext(generator)
    await generator.aclose()
    assert ended == [True]


def test_sources_have_names_of_their_own_and_typed_parameters() -> None:
    sources = PythonSources()
    sources.add(single)
    sources.add(listed, "lists")
    assert [source.name for source in sources] == ["lists", "single"]
    with pytest.raises(SyncInvalid, match="two sources are named 'single'"):
        sources.add(single)
    with pytest.raises(SyncInvalid, match=r"no source is named 'x'; those with @app\.sync_source: lists, single"):
        sources.get("x")
    with pytest.raises(SyncInvalid, match="source single: count: must be a whole number"):
        sources.get("single").open({"count": "many"})
    with pytest.raises(SyncInvalid, match="source single: other: is unknown: known here"):
        sources.get("single").open({"other": 1})


def test_what_cannot_be_a_source_is_named() -> None:
    async def no_generator() -> None: ...

    async def untyped(region) -> AsyncGenerator[Any]:  # type: ignore[no-untyped-def]
        yield region

    async def starred(*regions: str) -> AsyncGenerator[Any]:
        yield regions

    for function, fault in ((no_generator, "write an `async def` that yields"), (untyped, "needs an annotation"),
                            (starred, "cannot be given by name")):  # fmt: skip
        with pytest.raises(SyncInvalid, match=fault):
            named_source(function)
    with pytest.raises(SyncInvalid, match="cannot be the name"):
        named_source(single, "\n")
