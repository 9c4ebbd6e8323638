"""An archive that is a table takes the rows as they are, on each kind of database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from celeriac.database.engine import Database
from celeriac.families.cleanup.archives_columns import is_read_as_text, reading, use_exact_texts
from celeriac.families.cleanup.archives_table import (
    TableName,
    columns_of_table,
    copy_statement,
    ensure_archive_table,
    quoted,
)
from celeriac.families.cleanup.errors import ArchiveRefused
from tests.support.postgres import PostgresServer

SOURCE, TARGET = TableName(None, "old: orders"), TableName(None, "orders'\"`%s")
AUTO = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "mysql": "BIGINT AUTO_INCREMENT PRIMARY KEY",
}


def create(connection: Connection) -> None:
    name, note = SOURCE.quoted(connection), quoted(connection, "no%te: x")
    connection.execute(
        text(
            f"CREATE TABLE {name} (id {AUTO[connection.dialect.name]}, {note} VARCHAR(20) DEFAULT 'none' UNIQUE, "
            "price NUMERIC(10, 2) NOT NULL, twice NUMERIC(10, 2) GENERATED ALWAYS AS (price * 2) STORED)"
        )
    )
    values = [{"note": f"n{n}" if n % 2 else None, "price": n} for n in range(1, 7)]
    connection.execute(text(f"INSERT INTO {name} ({note}, price) VALUES (:note, :price)"), values)


def rows_of(connection: Connection, table: TableName) -> list[Any]:
    return list(map(tuple, connection.execute(text(f"SELECT * FROM {table.quoted(connection)} ORDER BY id"))))


async def test_rows_move_as_they_are(other: Database) -> None:
    await other.write(create)
    await other.write(lambda connection: ensure_archive_table(connection, SOURCE, TARGET, ["id"]))
    await other.write(lambda connection: ensure_archive_table(connection, SOURCE, TARGET, ["id"]))  # it is there

    def move(connection: Connection) -> tuple[int, list[Any], list[Any]]:
        before = rows_of(connection, SOURCE)
        copied = connection.execute(text(copy_statement(connection, SOURCE, TARGET, "id <= :last")), {"last": 4})
        connection.execute(text(f"DELETE FROM {SOURCE.quoted(connection)} WHERE id <= 4"))
        assert rows_of(connection, TARGET) + rows_of(connection, SOURCE) == before
        return copied.rowcount, rows_of(connection, TARGET), rows_of(connection, SOURCE)

    count, moved, left = await other.write(move)
    assert (count, len(moved), len(left)) == (4, 4, 2)
    key, unique = await other.look(
        lambda c: (inspect(c).get_pk_constraint(TARGET.name), inspect(c).get_unique_constraints(TARGET.name))
    )
    assert (key["constrained_columns"], unique) == (["id"], [])


async def test_an_archive_that_lacks_a_column_is_refused_with_what_to_do(other: Database) -> None:
    await other.write(create)
    await other.write(lambda connection: ensure_archive_table(connection, SOURCE, TARGET, ["id"]))
    await other.write(
        lambda connection: connection.execute(text(f"ALTER TABLE {SOURCE.quoted(connection)} ADD COLUMN more INTEGER"))
    )
    with pytest.raises(ArchiveRefused, match=r"lacks the column 'more' of old: orders: ALTER TABLE .* ADD COLUMN more"):
        await other.write(lambda connection: ensure_archive_table(connection, SOURCE, TARGET, ["id"]))


async def test_an_archive_with_another_type_is_refused(other: Database) -> None:
    await other.write(create)

    def wrong(connection: Connection) -> None:
        name, note = TARGET.quoted(connection), quoted(connection, "no%te: x")
        columns = f"id BIGINT, {note} INTEGER, price NUMERIC(10, 2), twice NUMERIC(10, 2)"
        connection.execute(text(f"CREATE TABLE {name} ({columns})"))
        ensure_archive_table(connection, SOURCE, TARGET, ["id"])

    with pytest.raises(ArchiveRefused, match=r"the column .* is .* in the archive"):
        await other.write(wrong)


async def test_a_table_is_not_its_own_archive(other: Database) -> None:
    with pytest.raises(ArchiveRefused, match="its own archive"):
        await other.write(lambda connection: ensure_archive_table(connection, SOURCE, SOURCE, ["id"]))


async def test_a_table_that_is_missing_is_named(other: Database) -> None:
    with pytest.raises(ArchiveRefused, match="there is no table old: orders"):
        await other.write(lambda connection: ensure_archive_table(connection, SOURCE, TARGET, ["id"]))


async def test_a_table_of_sqlite_without_a_key_gets_an_archive_without_one(tmp_path: Any) -> None:
    (tmp_path / "x.db").touch()
    database = Database(f"sqlite:///{tmp_path / 'x.db'}", is_ours=False)
    await database.write(lambda c: c.execute(text("CREATE TABLE a (x 'WEIRD; TYPE', y)")))
    source, target = TableName(None, "a"), TableName(None, "b")
    await database.write(lambda c: ensure_archive_table(c, source, target, ["rowid"]))
    assert set(await database.look(lambda c: columns_of_table(c, target))) == {"x", "y"}
    await database.dispose()


#: Values that Python lacks, or for which the driver gives others.
ODD = {
    "date": ["infinity", "0044-03-15 BC", "9999-12-31", "294000-01-01"],
    "timestamp": ["-infinity", "0044-03-15 01:02:03 BC", "9999-12-31 23:59:59.999999"],
    "timestamp with time zone": ["infinity", "2026-01-01 00:00:00.123456+05:45"],
    "time": ["24:00"],
    "time with time zone": ["24:00+05"],
    "interval": ["1 month", "30 days", "24 hours", "1 day", "-1 year 2 mons -3 days 04:05:06.7"],
    "json": ["null", '{"b":1, "a": 1.10, "a": 2}'],
    "jsonb": ["null", '"x"', "1e400"],
    "integer[]": ["[0:1]={1,NULL}", "{{1,2},{3,4}}", "{}"],
    "numeric(6,2)[]": ["{1.10,NaN}"],
    "text[]": ['{"a,b",NULL,"NULL"}'],
    "inet": ["10.0.0.1/8"],
    "int4range": ["[1,5)", "empty"],
    "point": ["(1,2)"],
    "bit(3)": ["101"],
    "numeric": ["NaN", "-Infinity", "1.10"],
    "double precision": ["-0", "Infinity", "0.1"],
    "real": ["1.1", "3.4e38"],
    "character(5)": ["a"],
    "bytea": [r"\x00ff"],
    '"od%d"': ["one"],
}


async def test_each_type_of_postgres_is_read_so_that_it_can_be_written_again(postgres_server: PostgresServer) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    await database.write(lambda c: c.exec_driver_sql("""CREATE TYPE "od%d" AS ENUM ('one')"""))
    wrong: list[str] = []

    def through(connection: Connection, number: int, kind: str, value: str) -> None:
        connection.exec_driver_sql("SET LOCAL datestyle = 'SQL, DMY'")
        connection.exec_driver_sql("SET LOCAL intervalstyle = 'sql_standard'")
        use_exact_texts(connection)
        table = TableName(None, f"table_{number}")
        connection.exec_driver_sql(f"CREATE TABLE {table} (x {kind}, y {kind})")
        connection.execute(text(f"INSERT INTO {table} (x) VALUES (CAST(CAST(:v AS text) AS {kind}))"), {"v": value})
        declared = columns_of_table(connection, table)["x"]
        found = connection.execute(text(f"SELECT {reading('x', declared, 'postgresql')} FROM {table}")).scalar_one()
        written = f"CAST(CAST(:v AS text) AS {kind})" if is_read_as_text(declared, "postgresql") else ":v"
        connection.execute(text(f"UPDATE {table} SET y = {written}"), {"v": found})
        same = f"SELECT CAST(x AS text) = CAST(y AS text) FROM {table}"
        if not connection.execute(text(same)).scalar_one():
            wrong.append(f"{kind} {value}: {found!r}")

    values = [(kind, value) for kind, values in ODD.items() for value in values]
    for number, (kind, value) in enumerate(values):
        await database.write(lambda c, n=number, k=kind, v=value: through(c, n, k, v))
    assert wrong == []
    await database.dispose()


@pytest.mark.parametrize(
    ("declared", "is_text"),
    [
        ("NUMERIC(10, 2)", False),
        ("numeric(10,2)[]", True),
        ("VARCHAR", False),
        ("DOUBLE PRECISION", False),
        ("TIMESTAMP WITH TIME ZONE", True),
        ("DATE", True),
        ("JSONB", True),
        ("", True),
        ("color", True),
    ],
)
def test_what_is_read_as_text_does_not_depend_on_how_a_type_is_spelt(declared: str, is_text: bool) -> None:
    assert is_read_as_text(declared, "postgresql") is is_text
    assert not is_read_as_text(declared, "sqlite")
