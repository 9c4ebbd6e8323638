"""What was archived goes back as it was: rows, types and keys, on each kind of database, as often as one likes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from celeriac.database.engine import Database
from celeriac.families.cleanup.archives import open_archive
from celeriac.families.cleanup.archives_columns import reading, use_exact_texts
from celeriac.families.cleanup.archives_model import ArchiveColumn, Format
from celeriac.families.cleanup.archives_table import (
    TableName,
    columns_of_table,
    copy_statement,
    ensure_archive_table,
    quoted,
)
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused
from celeriac.families.cleanup.restore import Restored, restore
from tests.support.postgres import PostgresServer

FORMATS: list[Format] = ["csv.gz", "parquet"]
ORDERS = TableName(None, "orders: 100%")
TYPES = {
    "sqlite": "id INTEGER PRIMARY KEY, note TEXT, price NUMERIC(10,2), at DATETIME, data BLOB, twice GENERATED ALWAYS "
    "AS (price * 2) STORED, odd",
    "postgresql": "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note varchar(50), price numeric(10,2), "
    "at timestamptz, data bytea, twice numeric GENERATED ALWAYS AS (price * 2) STORED, odd jsonb",
    "mysql": "id BIGINT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(50), price DECIMAL(10,2), at DATETIME(6), data BLOB, "
    "twice DECIMAL(12,2) GENERATED ALWAYS AS (price * 2) STORED, odd JSON",
}
NOTES = ["", None, r"\N", "two\r\nlines", 'say "x", please', "\\", "ü€😀", "x"]


def create(connection: Connection, table: TableName = ORDERS) -> None:
    connection.execute(text(f"CREATE TABLE {table.quoted(connection)} ({TYPES[connection.dialect.name]})"))


def fill(connection: Connection, count: int = 24) -> None:
    create(connection)
    odd = {"sqlite": ["1", 1, 1.5, b"\x01", None], "postgresql": ["null", '{"a": 1.10}', None]}
    kinds = odd.get(connection.dialect.name, ['{"a": 1}', None])
    day = "2026-01-0{}T01:02:03.000456"
    values = ":note, :price, :at, :data, :odd"
    if connection.dialect.name == "postgresql":
        values = ":note, :price, CAST(CAST(:at AS text) AS timestamptz), :data, CAST(CAST(:odd AS text) AS jsonb)"
    sql = f"INSERT INTO {ORDERS.quoted(connection)} (note, price, at, data, odd) VALUES ({values})"
    for n in range(count):
        row = {
            "note": NOTES[n % 8],
            "price": n,
            "at": day.format(n % 9 + 1),
            "data": bytes([n]),
            "odd": kinds[n % len(kinds)],
        }
        connection.execute(text(sql), row)


def read(connection: Connection, table: TableName = ORDERS) -> tuple[list[ArchiveColumn], list[tuple[Any, ...]]]:
    """All rows, as a run reads them."""
    use_exact_texts(connection)
    columns = columns_of_table(connection, table)
    names = [reading(quoted(connection, name), kind, connection.dialect.name) for name, kind in columns.items()]
    sql = f"SELECT {', '.join(names)} FROM {table.quoted(connection)} ORDER BY id"
    rows = list(map(tuple, connection.execute(text(sql))))
    return [ArchiveColumn(name, kind) for name, kind in columns.items()], rows


async def archived(database: Database, folder: Path, form: Format = "csv.gz", chunk: int = 10) -> list[Path]:
    columns, rows = await database.look(read)
    archive = await open_archive(form, folder, "run", columns)
    for start in range(0, len(rows), chunk):
        await archive.append(rows[start : start + chunk])
    return [file.path for file in await archive.close()]


async def delete(database: Database, condition: str = "1 = 1") -> None:
    await database.write(lambda c: c.execute(text(f"DELETE FROM {ORDERS.quoted(c)} WHERE {condition}")))


async def rows_of(database: Database, table: TableName = ORDERS) -> list[tuple[Any, ...]]:
    return (await database.look(lambda connection: read(connection, table)))[1]


@pytest.mark.parametrize("form", FORMATS)
async def test_rows_go_back_as_they_were(other: Database, tmp_path: Path, form: Format) -> None:
    await other.write(fill)
    before = await rows_of(other)
    files = await archived(other, tmp_path / "archives", form)
    await delete(other)
    told: list[tuple[int, int]] = []
    found = await restore(other, files, ORDERS, progress=lambda done, whole: told.append((done, whole)))
    assert found == Restored(rows=24, restored=24, skipped=0)
    assert await rows_of(other) == before
    assert told == [(10, 24), (20, 24), (24, 24)]


async def test_a_restore_that_is_begun_again_writes_what_is_missing(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    before = await rows_of(other)
    files = await archived(other, tmp_path / "archives")
    await delete(other, "id > 7")
    assert await restore(other, files, ORDERS) == Restored(rows=24, restored=17, skipped=7)
    assert await restore(other, files, ORDERS) == Restored(rows=24, restored=0, skipped=24)
    assert await rows_of(other) == before


async def test_a_row_that_is_there_ends_a_restore_that_is_to_fail(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives")
    await delete(other, "id <> 12")
    with pytest.raises(
        ArchiveRefused, match=r"rows at .*csv.gz, byte \d+ cannot be restored into orders: 100%: .*undone"
    ):
        await restore(other, files, ORDERS, on_conflict="fail")
    assert [row[0] for row in await rows_of(other)] == [*range(1, 11), 12]  # the first chunk was committed


async def test_what_is_skipped_is_what_has_the_same_key_and_nothing_else(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives")
    await delete(other, "id <> 5")
    name = "CREATE UNIQUE INDEX one_price ON {} (price)"
    await other.write(lambda c: c.execute(text(name.format(ORDERS.quoted(c)))))
    await other.write(lambda c: c.execute(text(f"UPDATE {ORDERS.quoted(c)} SET price = 9 WHERE id = 5")))
    with pytest.raises(ArchiveRefused, match=r"(?i)unique|duplicate"):  # the row 10 has that price, too
        await restore(other, files, ORDERS)


async def test_rows_go_to_another_table(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives")
    copy = TableName(None, "looked at")
    await other.write(lambda connection: create(connection, copy))
    await restore(other, files, copy)
    assert await rows_of(other, copy) == await rows_of(other)


async def test_a_table_that_lacks_a_column_is_refused_before_anything_is_written(
    other: Database, tmp_path: Path
) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives")
    narrow = TableName(None, "narrow")
    await other.write(lambda c: c.execute(text("CREATE TABLE narrow (id BIGINT PRIMARY KEY, note VARCHAR(50))")))
    with pytest.raises(ArchiveRefused, match=r"narrow lacks the archive's columns price, at, data, twice, odd"):
        await restore(other, files, narrow)
    with pytest.raises(ArchiveRefused, match="there is no table missing"):
        await restore(other, files, TableName(None, "missing"))


async def test_a_value_that_does_not_fit_is_refused_without_showing_it(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    await database.write(fill)
    files = await archived(database, tmp_path / "archives")
    await delete(database)
    await database.write(lambda c: c.execute(text(f"ALTER TABLE {ORDERS.quoted(c)} ALTER COLUMN note TYPE varchar(3)")))
    with pytest.raises(ArchiveRefused, match=r"value too long for type character varying\(3\). Their chunk is undone"):
        await restore(database, files, ORDERS)
    await database.dispose()


@pytest.mark.parametrize(
    ("column", "changed"),
    [("price", "numeric(10, 0)"), ("at", "timestamptz(3)"), ("at", "date"), ("odd", "json"), ("data", "text")],
)
async def test_a_table_that_would_change_a_value_is_refused(
    postgres_server: PostgresServer, tmp_path: Path, column: str, changed: str
) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    await database.write(fill)
    await database.write(lambda c: c.execute(text(f"UPDATE {ORDERS.quoted(c)} SET price = price + 0.25")))
    files = await archived(database, tmp_path / "archives")
    await delete(database)
    alter = f"ALTER COLUMN {column} TYPE {changed} USING NULL, DROP COLUMN twice, ADD COLUMN twice numeric"
    await database.write(lambda c: c.execute(text(f"ALTER TABLE {ORDERS.quoted(c)} {alter}")))
    if changed == "json":
        await restore(database, files, ORDERS)  # it keeps any text
    else:
        with pytest.raises(ArchiveRefused, match=rf"the column '{column}' of orders: 100% would change values"):
            await restore(database, files, ORDERS)
        assert await rows_of(database) == []
    await database.dispose()


async def test_a_conflict_is_told_without_the_values_of_rows(postgres_server: PostgresServer, tmp_path: Path) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    await database.write(fill)
    files = await archived(database, tmp_path / "archives")
    with pytest.raises(ArchiveRefused) as caught:
        await restore(database, files, ORDERS, on_conflict="fail")
    assert 'violates unique constraint "orders: 100%_pkey". Their chunk' in str(caught.value)
    assert "(id)=" not in str(caught.value)
    await database.dispose()


async def test_a_table_without_a_key_takes_rows_only_if_none_is_to_be_skipped(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    await database.write(fill)
    files = await archived(database, tmp_path / "archives")
    bare = TableName(None, "bare")
    await database.write(lambda c: c.execute(text(f"CREATE TABLE bare (LIKE {ORDERS.quoted(c)})")))
    with pytest.raises(ArchiveRefused, match="no primary key among"):
        await restore(database, files, bare)
    assert (await restore(database, files, bare, on_conflict="fail")).restored == 24
    assert await rows_of(database, bare) == await rows_of(database)
    await database.dispose()


async def test_the_row_number_of_sqlite_is_the_key_of_a_table_without_one(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    database = Database(f"sqlite:///{tmp_path / 'x.db'}", is_ours=False)
    await database.write(lambda c: c.execute(text("CREATE TABLE logs (line)")))
    await database.write(lambda c: c.execute(text("INSERT INTO logs VALUES ('a'), (1), (NULL)")))
    rows = await database.look(lambda c: list(map(tuple, c.execute(text("SELECT rowid, line FROM logs")))))
    archive = await open_archive(
        "csv.gz", tmp_path / "archives", "logs", [ArchiveColumn("rowid"), ArchiveColumn("line")]
    )
    await archive.append(rows)
    [file] = await archive.close()
    await database.write(lambda c: c.execute(text("DELETE FROM logs WHERE rowid > 1")))
    assert await restore(database, [file.path], TableName(None, "logs")) == Restored(rows=3, restored=2, skipped=1)
    assert await database.look(lambda c: list(map(tuple, c.execute(text("SELECT rowid, line FROM logs"))))) == rows
    await database.dispose()


@pytest.mark.parametrize("form", FORMATS)
async def test_a_damaged_archive_is_refused_before_anything_is_written(
    other: Database, tmp_path: Path, form: Format
) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives", form)
    await delete(other)
    manifest = json.loads(next((tmp_path / "archives").glob("*.json")).read_text())
    last = manifest["members"][-1]
    damaged = tmp_path / "archives" / last["file"]
    with damaged.open("r+b") as file:
        file.seek(last["offset"] + 40)
        file.write(b"\x00\xff\x00")
    place = f"byte {last['offset']:,}" if form == "csv.gz" else damaged.name
    with pytest.raises(ArchiveDamaged, match=place):
        await restore(other, files, ORDERS)
    assert await rows_of(other) == []


async def test_what_was_added_to_an_archive_is_noticed(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives")
    with files[0].open("ab") as file:
        file.write(files[0].read_bytes())
    with pytest.raises(ArchiveDamaged, match="its SHA-256 is not"):
        await restore(other, files, ORDERS)


async def test_an_archive_without_its_manifest_is_refused(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    files = await archived(other, tmp_path / "archives")
    [manifest] = (tmp_path / "archives").glob("*.json")
    text_of_it = manifest.read_text()
    manifest.unlink()
    with pytest.raises(ArchiveDamaged, match=f"has no manifest: {manifest.name} is missing"):
        await restore(other, files, ORDERS)
    for wrong in (
        "",
        "{}",
        "[]",
        text_of_it.replace('"version":', '"version":9'),
        text_of_it.replace(files[0].name, "x"),
    ):
        manifest.write_text(wrong)
        with pytest.raises(ArchiveDamaged, match="manifest"):
            await restore(other, files, ORDERS)


async def test_an_archive_whose_run_has_not_ended_needs_the_audits_word(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    columns, rows = await other.look(read)
    archive = await open_archive("csv.gz", tmp_path / "archives", "run", columns)
    committed = [await archive.append(rows[:10])]
    await archive.append(rows[10:])  # never committed: its rows are still in the table
    await archive.release()
    path = tmp_path / "archives" / committed[0].file
    with pytest.raises(ArchiveRefused, match="not complete: its run has not ended"):
        await restore(other, [path], ORDERS)
    await delete(other)
    assert await restore(other, [path], ORDERS, committed=committed) == Restored(rows=10, restored=10)
    assert await rows_of(other) == rows[:10]


async def test_a_file_that_is_missing_or_a_link_is_named(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    [path] = await archived(other, tmp_path / "archives")
    moved = tmp_path / "moved"
    path.rename(moved)
    with pytest.raises(ArchiveDamaged, match=f"{path} is missing"):
        await restore(other, [path], ORDERS)
    path.symlink_to(moved)
    with pytest.raises(Exception, match=path.name):
        await restore(other, [path], ORDERS)
    with pytest.raises(ArchiveRefused, match="at least one file"):
        await restore(other, [], ORDERS)


async def test_rows_go_back_from_the_table_that_is_their_archive(other: Database) -> None:
    await other.write(fill)
    before = await rows_of(other)
    old = TableName(None, "orders old")
    await other.write(lambda connection: ensure_archive_table(connection, ORDERS, old, ["id"]))
    await other.write(lambda connection: connection.execute(text(copy_statement(connection, ORDERS, old, "1 = 1"))))
    await delete(other, "id > 7")
    told: list[tuple[int, int]] = []
    found = await restore(other, old, ORDERS, progress=lambda done, whole: told.append((done, whole)))
    assert found == Restored(rows=24, restored=17, skipped=7)
    assert told == [(24, 24)]
    assert await rows_of(other) == before
    assert (await restore(other, old, ORDERS)).restored == 0
    with pytest.raises(ArchiveRefused, match="cannot be restored into"):
        await restore(other, old, ORDERS, on_conflict="fail")


async def test_a_large_table_goes_back_in_chunks_by_an_odd_key(postgres_server: PostgresServer) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    source, old = TableName(None, "readings"), TableName(None, "readings_old")

    def prepare(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE readings (at timestamp, sensor text, PRIMARY KEY (at, sensor))")
        connection.exec_driver_sql(
            "INSERT INTO readings SELECT '0044-03-15 BC'::timestamp + n / 2 * interval '1 day', "
            "CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 12000) AS n"
        )
        ensure_archive_table(connection, source, old, ["at", "sensor"])
        connection.execute(text(copy_statement(connection, source, old, "1 = 1")))
        connection.exec_driver_sql("DELETE FROM readings WHERE sensor = 'a'")

    await database.write(prepare)
    told: list[int] = []
    found = await restore(database, old, source, progress=lambda done, whole: told.append(done))
    assert (found, told) == (Restored(rows=12000, restored=6000, skipped=6000), [5000, 10000, 12000])
    await database.dispose()


async def test_a_table_that_does_not_fit_its_archive_is_refused(other: Database) -> None:
    await other.write(fill)
    old = TableName(None, "orders old")
    await other.write(lambda connection: ensure_archive_table(connection, ORDERS, old, ["id"]))
    await other.write(lambda c: c.execute(text(f"ALTER TABLE {old.quoted(c)} ADD COLUMN more INTEGER")))
    with pytest.raises(ArchiveRefused, match="lacks the columns more of orders old"):
        await restore(other, old, ORDERS)


async def test_a_cancelled_restore_goes_on_when_it_is_begun_again(other: Database, tmp_path: Path) -> None:
    await other.write(fill)
    before = await rows_of(other)
    files = await archived(other, tmp_path / "archives", chunk=1)
    await delete(other)
    begun = asyncio.Event()
    task = asyncio.create_task(restore(other, files, ORDERS, progress=lambda done, whole: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await restore(other, files, ORDERS)
    assert await rows_of(other) == before
