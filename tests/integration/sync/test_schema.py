"""Tables follow the records: types are inferred, columns are added and widened, and nothing is cut in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "id"}


def plain(value: Any) -> Any:
    """A value as all databases give it: numbers compare, and JSON is read."""
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value


async def values(syncs: SyncJobs, column: str, table: str = "orders") -> list[Any]:
    quote = "`" if syncs.database.dialect in ("mysql", "mariadb") else '"'
    found = await syncs.rows(f"SELECT {quote}{column}{quote} FROM {table} ORDER BY id")
    return [plain(row[0]) for row in found]


async def rejects(syncs: SyncJobs) -> list[tuple[Any, ...]]:
    return await syncs.rows("SELECT page, position, reason FROM celeriac_sync_reject ORDER BY number")


async def test_each_kind_of_value_comes_back_as_it_was(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    record = {
        "id": 1,
        "ok": True,
        "count": 2**62,
        "price": 1.25,
        "name": "Zoë 🌱",
        "tags": ["a", {"b": None}],
        "none": None,
    }
    await syncs.outcome({"orders": [[record]]})
    for name, value in record.items():
        if value is not None:
            assert await values(syncs, name) == [value], name
    columns = await syncs.rows("SELECT field FROM celeriac_sync_column")
    assert ("none",) not in columns  # null says nothing about a type


async def test_a_new_field_becomes_a_column_and_old_rows_keep_null(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1}], [{"id": 2, "note": None}], [{"id": 3, "note": "first"}]]})
    await syncs.outcome({"orders": [[{"id": 4, "note": "x", "more": 7}]]})
    assert await values(syncs, "note") == [None, None, "first", "x"]
    assert await values(syncs, "more") == [None, None, None, 7]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([1, 2.5], [1, 2.5]),
        ([1, 2**70], [1, 2**70]),
        ([1.5, 2**60 + 1], [1.5, 2**60 + 1]),
        ([12, "0123"], ["12", "0123"]),
        ([True, "maybe"], ["true", "maybe"]),
        ([False, 3], ["false", "3"]),
        (["text", {"a": 1}], ["text", {"a": 1}]),
        ([{"a": 1}, "text"], [{"a": 1}, '"text"']),
        ([1, 2.5, "x"], ["1", "2.5", "x"]),
    ],
)
async def test_a_column_is_widened_to_what_holds_all_its_values(
    syncs: SyncJobs, given: list[Any], kept: list[Any]
) -> None:
    syncs.define(ORDERS)
    pages = [[{"id": number, "v": value}] for number, value in enumerate(given)]
    outcome = await syncs.outcome({"orders": pages})
    assert outcome["streams"]["orders"]["rejected"] == 0
    found = await values(syncs, "v")
    if syncs.database.dialect == "postgresql" and kept == [{"a": 1}, '"text"']:
        kept = [{"a": 1}, "text"]
    assert [_compared(value) for value in found] == [_compared(value) for value in kept]


def _compared(value: Any) -> Any:
    """MySQL writes all 30 digits after the point, and SQLite keeps a great number as its text."""
    text = str(value)
    if text.replace(".", "").isdigit() and not text.startswith("0"):
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value


async def test_a_text_longer_than_the_users_own_column_widens_it(syncs: SyncJobs) -> None:
    await syncs.database.write(
        lambda c: c.exec_driver_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, name VARCHAR(5), n SMALLINT)")
    )
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "name": "short", "n": 5}], [{"id": 2, "name": "x" * 500, "n": 70_000}]]})
    assert await values(syncs, "name") == ["short", "x" * 500]
    assert await values(syncs, "n") == [5, 70_000]


async def test_a_decimal_column_of_the_users_own_rounds_nothing(syncs: SyncJobs) -> None:
    await syncs.database.write(
        lambda c: c.exec_driver_sql("CREATE TABLE orders (id BIGINT PRIMARY KEY, price NUMERIC(10, 2))")
    )
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "price": 1.25}], [{"id": 2, "price": 1.2345}]]})
    assert [float(value) for value in await values(syncs, "price")] == [1.25, 1.2345]


async def test_columns_of_the_users_own_are_left_alone(syncs: SyncJobs) -> None:
    await syncs.database.write(
        lambda c: c.exec_driver_sql("CREATE TABLE orders (id BIGINT PRIMARY KEY, name TEXT, mine INTEGER DEFAULT 7)")
    )
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "name": "a"}]]})
    await syncs.database.write(lambda c: c.exec_driver_sql("UPDATE orders SET mine = 8"))
    await syncs.outcome({"orders": [[{"id": 1, "name": "b"}, {"id": 2, "name": "c"}]]})
    assert await syncs.rows("SELECT id, name, mine FROM orders ORDER BY id") == [(1, "b", 8), (2, "c", 7)]


async def test_a_table_whose_key_nothing_keeps_unique_is_refused(syncs: SyncJobs) -> None:
    await syncs.database.write(lambda c: c.exec_driver_sql("CREATE TABLE orders (id BIGINT, name VARCHAR(10))"))
    syncs.define(ORDERS)
    ran = await syncs.run({"orders": [[{"id": 1, "name": "a"}]]})
    assert "nothing keeps its key (id) unique" in str(ran.error)


async def test_a_column_that_somebody_dropped_comes_back(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "a": 1, "b": 2}]]})
    await syncs.database.write(lambda c: c.exec_driver_sql("ALTER TABLE orders DROP COLUMN a"))
    await syncs.outcome({"orders": [[{"id": 2, "a": 3, "b": 4}]]})
    assert await values(syncs, "a") == [None, 3]


async def test_ignore_leaves_new_fields_out_and_says_which(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "on_new_column": "ignore"})
    outcome = await syncs.outcome(
        {"orders": [[{"id": 1, "n": 1}], [{"id": 2, "n": "x", "more": 1}, {"id": 3, "n": 3}]]}
    )
    assert outcome["streams"]["orders"]["ignored"] == ["more"]
    assert await syncs.rows("SELECT id, n FROM orders ORDER BY id") == [(1, 1), (3, 3)]
    assert [row[2] for row in await rejects(syncs)] == ["n: 'x' does not fit its type, integer"]


async def test_stop_fails_before_the_page_is_written(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "on_new_column": "stop"})
    ran = await syncs.run({"orders": [[{"id": 1}], [{"id": 2, "more": 1}]]})
    assert "stream orders: a page has new fields: 'more' (integer)" in str(ran.error)
    assert await syncs.rows("SELECT id FROM orders") == [(1,)]


async def test_declared_types_hold_and_what_does_not_fit_is_rejected(syncs: SyncJobs) -> None:
    columns = {"at": "timestamp", "day": "date", "n": "integer", "price": "numeric", "who.name": "text"}
    syncs.define({**ORDERS, "columns": columns})
    good = {
        "id": 1,
        "at": "2026-01-02T03:04:05+02:00",
        "day": "2026-01-02",
        "n": 5,
        "price": "1.10",
        "who": {"name": "Ann"},
    }
    outcome = await syncs.outcome({"orders": [[good, {**good, "id": 2, "at": "soon"}, {**good, "id": 3, "n": "five"}]]})
    counts = outcome["streams"]["orders"]
    assert (counts["in"], counts["written"], counts["rejected"]) == (3, 1, 2)
    ((at, day, who),) = await syncs.rows("SELECT at, day, who_name FROM orders")
    assert str(at).startswith("2026-01-02 01:04:05")
    assert (str(day), who) == ("2026-01-02", "Ann")
    reasons = [row[2] for row in await rejects(syncs)]
    assert [reason.partition(":")[0] for reason in reasons] == ["at", "n"]


async def test_a_record_without_its_key_is_rejected_with_its_place(syncs: SyncJobs) -> None:
    syncs.define({"name": "orders", "primary_key": ["shop.id", "number"]})
    pages = [
        [{"shop": {"id": 1}, "number": 1}],
        [{"number": 2}, {"shop": {"id": 1}, "number": None}, {"shop": {"id": 2}, "number": 1}],
    ]
    outcome = await syncs.outcome({"orders": pages})
    assert outcome["streams"]["orders"]["rejected"] == 2
    assert await syncs.rows("SELECT shop_id, number FROM orders ORDER BY shop_id") == [(1, 1), (2, 1)]
    assert await rejects(syncs) == [
        (1, 0, "it has no shop.id, which is its key"),
        (1, 1, "it has no number, which is its key"),
    ]


async def test_of_records_with_one_key_on_a_page_the_last_wins(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    outcome = await syncs.outcome({"orders": [[{"id": 1, "n": 1}, {"id": 2, "n": 1}, {"id": 1, "n": 2}]]})
    assert outcome["streams"]["orders"]["written"] == outcome["streams"]["orders"]["in"] == 3
    assert await syncs.rows("SELECT id, n FROM orders ORDER BY id") == [(1, 2), (2, 1)]


async def test_keys_that_differ_in_case_or_spaces_are_two(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": "a"}, {"id": "A"}, {"id": "a "}, {"id": "ä"}]]})
    assert await syncs.rows("SELECT count(*) FROM orders") == [(4,)]


async def test_a_key_of_another_type_than_its_column_is_rejected(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    outcome = await syncs.outcome({"orders": [[{"id": 1}], [{"id": "x"}, {"id": [1]}, {"id": 2}]]})
    assert outcome["streams"]["orders"]["rejected"] == 2
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]


async def test_hostile_names_of_fields_become_columns(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    names = [
        '"; DROP TABLE orders; --',
        "`x`",
        "50%",
        "a?b:c",
        "x" * 200,
        "y" * 62 + "ä",
        "Name",
        "name",
        "NAME",
        "",
        " ",
        "\n",
    ]
    names += ["select", "$1", "%s", "%(a)s", "{}", "naïve", "\\", "ID"]
    names += ["ctid", "xmin", "xmax", "cmin", "CMAX", "tableoid", "oid", "rowid", "_rowid_", "row_start"]
    names += ["DB_ROW_ID", "db_trx_id", "DB_ROLL_PTR", "FTS_DOC_ID", "FTS_DOC_ID_INDEX"]
    await syncs.outcome({"orders": [[{"id": 1, **{name: number for number, name in enumerate(names)}}]]})
    await syncs.outcome({"orders": [[{"id": 2, **{name: number for number, name in enumerate(names)}, "late%": "x"}]]})
    known = await syncs.rows("SELECT field, name FROM celeriac_sync_column")
    columns = {field: name for field, name in known if field != "id"}
    assert set(columns) == {*names, "late%"}
    assert len({name.casefold() for name in columns.values()}) == len(names) + 1
    preparer = await syncs.database.read(lambda c: c.dialect.identifier_preparer)
    listed = ", ".join(preparer.quote_identifier(columns[name]) for name in names)
    assert await syncs.rows(f"SELECT {listed} FROM orders ORDER BY id") == [tuple(range(len(names)))] * 2


async def test_an_object_whose_keys_are_data_stops_the_run(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    ran = await syncs.run({"orders": [[{"id": 1, **{f"k{n}": n for n in range(600)}}]]})
    assert "more than 500 fields" in str(ran.error)


async def test_text_that_the_database_cannot_hold_is_rejected_and_not_cut(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    page = [
        {"id": 1, "t": "a\0b"},
        {"id": 2, "t": "\ud800"},
        {"id": 3, "t": "fine"},
        {"id": 4, "t": {"x": "a\0b", "y": "\\u0000"}},
    ]
    outcome = await syncs.outcome({"orders": [page]})
    has_nul = syncs.database.dialect != "postgresql"
    assert outcome["streams"]["orders"]["rejected"] == (1 if has_nul else 2)
    written = await values(syncs, "t")
    assert written[0] == ("a\0b" if has_nul else "fine")


async def test_a_record_with_a_field_whose_name_no_database_keeps_is_rejected_alone(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    page: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "a\0b": 7}, {"id": 3, "c\ud800": 7}, {"id": 4, "d\0": None}]
    has_nul = syncs.database.dialect != "postgresql"
    for first in (0, 10):  # a new table, and an old one
        outcome = await syncs.outcome({"orders": [[{**record, "id": first + record["id"]} for record in page]]})
        assert outcome["streams"]["orders"]["rejected"] == (1 if has_nul else 2)
    written = [1, 2, 4, 11, 12, 14] if has_nul else [1, 4, 11, 14]
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(number,) for number in written]
    reasons = {reason for _, _, reason in await rejects(syncs)}
    told = "holds half of a surrogate pair, which is not a character"
    expected = {f"the name of its field 'c\\ud800' {told}"}
    assert reasons == (expected if has_nul else expected | {"the name of its field 'a\\x00b' has a NUL"})


async def test_too_many_rejected_records_end_the_run_and_stay_listed(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "max_rejected": 2})
    ran = await syncs.run({"orders": [[{"id": 1}, {}, {}], [{}, {"id": 2}], [{"id": 3}]]})
    assert "3 of 5 records were rejected, and max_rejected is 2" in str(ran.error)
    assert len(await rejects(syncs)) == 3
