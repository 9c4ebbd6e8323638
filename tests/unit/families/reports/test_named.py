"""Sources with names: queries of files and of code, and functions, with the types of their parameters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from celeriac.families.reports.errors import DataInvalid, ReportInvalid, SourceInvalid
from celeriac.families.reports.sources.data import Data
from celeriac.families.reports.sources.named import Sources, function_source, queries_in, query_source
from celeriac.families.reports.sources.rows import read_function
from celeriac.families.reports.sources.sql_text import parse


@pytest.mark.parametrize(
    ("sql", "names", "numbered"),
    [
        ("SELECT :a, :b, :a", ["a", "b"], "SELECT $1, $2, $1"),
        ("SELECT ':a', \":b\", x::text", [], "SELECT ':a', \":b\", x::text"),
        ("SELECT 'it''s :a' || :a", ["a"], "SELECT 'it''s :a' || $1"),
        ("SELECT 1 -- :a\n+ :b /* :c */", ["b"], "SELECT 1 -- :a\n+ $1 /* :c */"),
        ("SELECT $$ :a $$ || $x$ :b $$ :c $x$ || :d;", ["d"], "SELECT $$ :a $$ || $x$ :b $$ :c $x$ || $1"),
        ("SELECT '12:30' AS time, 'open", [], "SELECT '12:30' AS time, 'open"),
        ("SELECT : a, a[1:2]", [], "SELECT : a, a[1:2]"),
        ("SELECT :größe", ["gr"], "SELECT $1öße"),
    ],
)
def test_parameters_are_found_beside_strings_and_comments(sql: str, names: list[str], numbered: str) -> None:
    query = parse(sql)
    assert query.parameters == names
    assert query.numbered() == numbered


def test_a_query_knows_the_types_of_its_parameters() -> None:
    query = query_source(
        "q",
        "SELECT :since, :least, :name",
        connection="shop",
        types={"since": date, "least": Decimal},
        defaults={"name": "x"},
    )
    assert query.checked({"since": "2026-01-31", "least": "1.5"}) == {
        "since": date(2026, 1, 31),
        "least": Decimal("1.5"),
        "name": "x",
    }
    for given, place in (
        ({"since": "2026-02-30", "least": 1}, "source.parameters.since"),
        ({"since": "2026-01-31"}, "source.parameters.least"),
        ({"since": "2026-01-31", "least": 1, "other": 1}, "source.parameters.other"),
    ):
        with pytest.raises(ReportInvalid) as caught:
            query.checked(given)
        assert caught.value.place == place
    with pytest.raises(SourceInvalid, match="it has no parameter :other"):
        query_source("q", "SELECT 1", connection="shop", types={"other": int})


def test_queries_of_a_folder_say_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "orders.sql").write_text(
        "-- connection: shop\n-- about: Orders of a time\n-- a word of no meaning\n"
        "-- parameter: since date\n-- parameter: country text = DE\n"
        "SELECT * FROM orders WHERE day >= :since AND country = :country -- parameter: x y\n"
    )
    (query,) = queries_in(tmp_path)
    assert (query.name, query.kind, query.about, query.connection) == ("orders", "query", "Orders of a time", "shop")
    assert query.checked({"since": "2026-01-31"}) == {"since": date(2026, 1, 31), "country": "DE"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("SELECT 1", "name no connection"),
        ("-- connection: shop\n-- parameter: x money\nSELECT :x", "parameter x: name one of the types text, integer"),
        ("-- connection: shop\n-- parameter: x date\nSELECT 1", "it has no parameter :x"),
        (
            "-- connection: shop\n-- parameter: x date = soon\nSELECT :x",
            "parameter x: its default is wrong: Input",
        ),
        ("-- connection: shop\nSELECT :x", "parameter :x is not declared; add a line `-- parameter: x text`"),
        ("-- connection: shop\nDROP TABLE x", "a query can only SELECT; this one begins with DROP"),
    ],
)
def test_a_file_that_is_no_query_stops_the_start(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "orders.sql").write_text(text)
    with pytest.raises(SourceInvalid, match=fault):
        queries_in(tmp_path)


def test_a_query_may_begin_with_the_mark_of_utf_8_and_is_refused_in_another_encoding(tmp_path: Path) -> None:
    text = "-- connection: shop\nSELECT 'Käufer'"
    (tmp_path / "orders.sql").write_text(text, encoding="utf-8-sig")
    (query,) = queries_in(tmp_path)
    assert query.sql == text
    (tmp_path / "orders.sql").write_text(text, encoding="cp1252")
    with pytest.raises(SourceInvalid, match=r"orders\.sql: cannot be read as UTF-8: "):
        queries_in(tmp_path)


def test_each_source_has_a_name_of_its_own() -> None:
    sources = Sources()
    sources.add(query_source("b", "SELECT 1", connection="shop"))
    sources.add(query_source("a", "SELECT 1", connection="shop"))
    assert [source.name for source in sources] == ["a", "b"]
    for name, fault in (("a", "two sources"), ("", "cannot be the name"), ("x\n", "cannot be the name")):
        with pytest.raises(SourceInvalid, match=fault):
            sources.add(query_source(name, "SELECT 1", connection="shop"))
    with pytest.raises(ReportInvalid, match="no source is named 'c'"):
        sources.get("c")


class Model(BaseModel):
    x: int
    y: str | None = None


@dataclass
class Record:
    x: int
    y: str | None = None


class Pair(NamedTuple):
    x: int
    y: str | None


def dicts() -> Iterator[dict[str, Any]]:
    yield {"x": 1, "y": "a"}
    yield {"x": 2}


async def models() -> AsyncIterator[Model]:
    yield Model(x=1, y="a")
    yield Model(x=2)


async def listed() -> list[Record]:
    return [Record(1, "a"), Record(2)]


def tuples() -> Iterator[tuple[Any, ...]]:
    yield ("x", "y")
    yield (1, "a")
    yield (2, None)


def pairs() -> list[Pair]:
    return [Pair(1, "a"), Pair(2, None)]


async def rows_of(reading: AbstractAsyncContextManager[Data]) -> tuple[list[str], list[tuple[Any, ...]]]:
    async with reading as data:
        return list(data.columns), [tuple(row) async for batch in data.batches for row in batch]


@pytest.mark.parametrize("function", [dicts, models, listed, tuples, pairs], ids=lambda function: function.__name__)
async def test_a_function_may_yield_rows_of_each_kind(function: Any) -> None:
    assert await rows_of(read_function("s", function())) == (["x", "y"], [(1, "a"), (2, None)])


@pytest.mark.parametrize(
    ("returned", "fault"),
    [
        ([], "it yielded nothing"),
        (5, "it returned int; yield rows"),
        ("text", "it returned str"),
        ({"x": 1}, "it returned dict"),
        ([5], "int is no row"),
        ([{"x": 1}, {"x": 1, "z": 2}], "row 2: 'z' is no column of the first row"),
        ([Record(1), 5], "row 2: 'int' object has no attribute 'x'"),
    ],
)
async def test_what_is_no_row_is_refused(returned: Any, fault: str) -> None:
    with pytest.raises(DataInvalid, match=fault):
        await rows_of(read_function("s", returned))


def test_a_function_says_what_callers_may_choose() -> None:
    def source(since: date, least: Decimal = Decimal(0)) -> list[Any]:
        """Orders of a time.

        More than that is for developers.
        """
        return [since, least]

    made = function_source(source, "orders")
    assert (made.name, made.kind, made.about) == ("orders", "function", "Orders of a time.")
    assert made.checked({"since": "2026-01-31"}) == {"since": date(2026, 1, 31), "least": Decimal(0)}
    with pytest.raises(SourceInvalid, match="parameter since needs an annotation"):
        function_source(lambda since: [], "x")
    with pytest.raises(SourceInvalid, match="cannot be given by name"):
        function_source(lambda *many: [], "x")
