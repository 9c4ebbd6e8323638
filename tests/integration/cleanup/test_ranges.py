"""Chunks of SQLite as ranges of keys: a range is deleted only if it has the rows of its chunk and no others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Engine, event, text

from celeriac.families.cleanup.archives_csv import CsvArchive
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.shapes import Catalogue
from celeriac.families.cleanup.statements import Statements
from tests.support.cleanup_shop import OLD, Shop, policy

LETTERS = "CREATE TABLE letters (name TEXT PRIMARY KEY COLLATE NOCASE, kind TEXT, created_at TIMESTAMP, number NUMERIC)"
NAMES = [f"{'aB'[n % 2]}{n:03}" for n in range(100)]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncGenerator[Shop]:
    """A shop on SQLite with 100 old letters, whose keys are texts that SQLite orders without their case."""
    shop = Shop(f"sqlite:///{tmp_path}/shop.db", tmp_path / "archives", {"shop.letters"})
    (tmp_path / "shop.db").touch()
    await shop.create(LETTERS, "CREATE INDEX letters_kind ON letters (kind)")
    await shop.insert("letters", [_letter(name, n) for n, name in enumerate(NAMES)])
    yield shop
    await shop.database.dispose()


def _letter(name: str, number: float, kind: str = "old") -> dict[str, Any]:
    return {"name": name, "kind": kind, "created_at": OLD.replace(tzinfo=None), "number": number}


def letters(**changes: Any) -> Policy:
    where = {"sql": "kind = 'old'"}
    return policy(**{"table": "letters", "where": where, "action": "archive", "chunk": {"rows": 20}, **changes})


@contextmanager
def deletes() -> Generator[list[str]]:
    """Take note of how rows are deleted."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM letters"):
            found.append("range" if "BETWEEN" in statement else "keys")

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def after_archiving(shop: Shop, statement: str) -> Any:
    """Have somebody else run a statement after the first chunk was archived, and before it is deleted."""
    append, done = CsvArchive.append, False

    async def append_and_run(archive: CsvArchive, rows: Any) -> Any:
        nonlocal done
        member = await append(archive, rows)
        if not done:
            done = True
            await shop.execute(statement)
        return member

    return patch.object(CsvArchive, "append", append_and_run)


async def names(shop: Shop) -> list[str]:
    return [name for (name,) in await shop.query("SELECT name FROM letters")]


async def archived(shop: Shop) -> list[str]:
    return [row["name"] for row in await shop.archived("letters")]


async def test_a_range_without_others_goes_as_a_whole(shop: Shop) -> None:
    with deletes() as how:
        result = await shop.run(letters())
    assert how == ["range"] * 5
    assert result.rows == {"letters": 100}
    assert await names(shop) == []
    assert sorted(await archived(shop)) == sorted(NAMES)


async def test_rows_in_between_stay_and_keys_are_named_where_there_are_some(shop: Shop) -> None:
    await shop.execute("UPDATE letters SET kind = 'new' WHERE number % 4 = 0")  # half of the first fifty keys
    with deletes() as how:
        await shop.run(letters(chunk={"rows": 5}))
    assert how == ["keys"] * 5 + ["range"] * 10
    assert len(await names(shop)) == 25
    assert sorted([*await names(shop), *await archived(shop)]) == sorted(NAMES)


async def test_ranges_are_tried_again_where_few_have_others(shop: Shop) -> None:
    await shop.execute("UPDATE letters SET kind = 'new' WHERE number = 4")  # its key is in the first range
    with deletes() as how:
        await shop.run(letters())
    assert how == ["keys", "keys", "range", "range", "range"]
    assert await names(shop) == [NAMES[4]]


async def test_a_row_that_came_into_the_range_meanwhile_stays(shop: Shop) -> None:
    come = "INSERT INTO letters VALUES ('A000x', 'old', '2020-01-01 00:00:00', 7)"
    with after_archiving(shop, come), deletes() as how:
        result = await shop.run(letters())
    assert how[0] == "keys"
    assert result.rows == {"letters": 100}
    assert await names(shop) == ["A000x"]
    assert sorted(await archived(shop)) == sorted(NAMES)


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ("UPDATE letters SET kind = 'new' WHERE name = 'a002'", True),
        ("UPDATE letters SET number = 7.5 WHERE name = 'a002'", False),
        ("DELETE FROM letters WHERE name = 'a002'", False),
        ("UPDATE letters SET name = 'A002' WHERE name = 'a002'", False),  # the same key, by its collation
    ],
)
async def test_a_range_whose_rows_have_changed_is_read_and_archived_again(shop: Shop, change: str, stays: bool) -> None:
    with after_archiving(shop, change):
        result = await shop.run(letters())
    assert result.repeated_chunks == 1
    assert await names(shop) == (["a002"] if stays else [])
    now = {"name": "A002"} if "'A002'" in change else {"number": r"\float:7.5"}
    found = {row["name"].lower(): row for row in await shop.archived("letters")}
    assert len(found) == (100 if change.startswith("UPDATE") and not stays else 99)
    if len(found) == 100:
        assert found["a002"].items() >= now.items()


async def test_a_range_is_found_by_its_key_whatever_other_index_the_condition_could_use(shop: Shop) -> None:
    def plans(connection: Any) -> list[str]:
        shape = Catalogue(connection).shape("letters")
        ranges = Statements(Step(("letters",), shape, None, (), ()), letters(), connection.dialect).ranges
        assert ranges is not None
        given = {"celeriac_first": "a", "celeriac_last": "b", "celeriac_limit": 1}
        explained = [text(f"EXPLAIN QUERY PLAN {one}") for one in (ranges.read, ranges.delete)]
        return [str(row.detail) for one in explained for row in connection.execute(one, given)]

    found = await shop.database.read(plans)
    assert found == ["SEARCH letters USING INDEX sqlite_autoindex_letters_1 (name>? AND name<?)"] * 2
