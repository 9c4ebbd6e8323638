"""Queries that would change, leave or stop a database: each is refused, or does nothing."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from celeriac.families.reports import ReportsSettings
from celeriac.families.reports.checks import check_connections
from celeriac.families.reports.errors import QueryFailed, SourceInvalid, SourceUnavailable
from celeriac.families.reports.reading import Reader
from celeriac.families.reports.request import NamedRef
from celeriac.families.reports.sources.data import Patience
from celeriac.families.reports.sources.named import Sources, query_source
from celeriac.families.reports.sources.postgres import check_postgres, read_postgres
from celeriac.families.reports.sources.sqlite import read_sqlite
from tests.support.postgres import PostgresServer
from tests.support.waiting import eventually

LONG = 60.0


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, day TEXT, total NUMERIC)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?)", [(n, f"2026-01-{n:02}", n * 1.5) for n in range(1, 4)]
        )
        connection.commit()
    return file


async def from_sqlite(
    file: Path, sql: str, parameters: Mapping[str, Any] | None = None, seconds: float = LONG
) -> list[tuple[Any, ...]]:
    async with read_sqlite("shop", f"sqlite:///{file}", sql, parameters or {}, Patience(seconds)) as data:
        return [tuple(row) async for batch in data.batches for row in batch]


async def test_sqlite_binds_values_of_each_type(shop: Path) -> None:
    sql = "SELECT id, total FROM orders WHERE day >= :since AND id < :below AND ':no' <> 'x' -- :neither"
    found = await from_sqlite(shop, sql, {"since": date(2026, 1, 2), "below": 3})
    assert found == [(2, 3.0)]
    assert await from_sqlite(shop, "SELECT id FROM orders WHERE day = :day", {"day": "x' OR 1=1 --"}) == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "DROP TABLE orders",
        "INSERT INTO orders VALUES (9, 'x', 1) RETURNING id",
        "CREATE TABLE other (x)",
        "CREATE TEMP TABLE other (x)",
        "SELECT 1; DROP TABLE orders",
        "COMMIT; DROP TABLE orders",
        "COMMIT",
        "BEGIN IMMEDIATE",
        "VACUUM INTO '{stolen}'",
        "ATTACH DATABASE '{stolen}' AS other",
        "PRAGMA query_only = off",
        "PRAGMA writable_schema = on",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('/tmp/evil.so')",
        "SELECT writefile('{stolen}', 'x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT fts3_tokenizer('simple', x'00')",
        "CREATE VIRTUAL TABLE t USING csv(filename='/etc/passwd')",
        "SELECT zeroblob(1000000000)",
        "SELECT replace(hex(zeroblob(7000000)), '0', 'xxxx')",
        "EXPLAIN DELETE FROM orders",
        "no SQL at all",
        "",
    ],
)
async def test_sqlite_refuses(shop: Path, sql: str) -> None:
    before = shop.read_bytes()
    stolen = shop.with_name("stolen")
    with pytest.raises(QueryFailed, match="connection shop: "):
        await from_sqlite(shop, sql.format(stolen=stolen))
    assert shop.read_bytes() == before
    assert not stolen.exists()


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT :x", {"x": 10**30}),
        ("SELECT :x", {"x": "\ud800"}),
        ("SELECT '\ud800'", {}),
        ("SELECT 'a\0b'", {}),
        ("SELECT CAST(x'ff' AS TEXT)", {}),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, {}),
        ("SELECT 1" + ",1" * 3000, {}),
        ("SELECT ?1, @y, $z", {"y": 1}),
        ("SELECT * FROM json_each('" + "[" * 3000 + "]" * 3000 + "')", {}),
    ],
)
async def test_what_sqlite_cannot_take_is_an_error_of_the_query(shop: Path, sql: str, parameters: Any) -> None:
    with pytest.raises(QueryFailed, match="connection shop: "):
        await from_sqlite(shop, sql, parameters)


async def test_sqlite_stops_an_endless_query(shop: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with pytest.raises(QueryFailed, match=r"took more than 0\.3 s"):
        await from_sqlite(shop, endless, seconds=0.3)


async def test_a_database_that_is_locked_for_long_is_tried_again(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.families.reports.sources.sqlite._LOCKED_S", 0.1)
    with closing(sqlite3.connect(shop, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnavailable, match="connection shop: database is locked"):
            await from_sqlite(shop, "SELECT id FROM orders")
    assert len(await from_sqlite(shop, "SELECT id FROM orders")) == 3


async def test_what_sqlite_sorts_counts_towards_its_memory_and_fills_no_disk(shop: Path) -> None:
    sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 600)"
    with pytest.raises(QueryFailed, match="needs more than 512 MB of memory"):
        await from_sqlite(shop, f"{sql} SELECT x, zeroblob(1000000) FROM n ORDER BY -x")


async def test_sqlite_makes_no_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match="unable to open"):
        await from_sqlite(tmp_path / "none.db", "SELECT 1")
    assert not (tmp_path / "none.db").exists()


@pytest.fixture
async def reader(postgres_server: PostgresServer) -> str:
    """The URL of a database for a user who may only read."""
    url = await postgres_server.create_database()
    connection: Any = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(
            """
            CREATE TABLE orders (id int, day date, total numeric(10, 2));
            INSERT INTO orders SELECT n, date '2026-01-01' + n, n * 1.5 FROM generate_series(1, 2500) n;
            DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
            GRANT ALL ON orders TO reader;
            GRANT CREATE ON SCHEMA public TO reader;
            """
        )
    finally:
        await connection.close()
    return url.replace("celeriac@", "reader@")


async def from_postgres(
    url: str, sql: str, parameters: Mapping[str, Any] | None = None, seconds: float = LONG
) -> list[tuple[Any, ...]]:
    async with read_postgres("shop", url, sql, parameters or {}, Patience(seconds)) as data:
        return [tuple(row) async for batch in data.batches for row in batch]


async def test_postgres_streams_typed_rows_and_binds_typed_values(reader: str) -> None:
    sql = "SELECT id, day, total FROM orders WHERE day > :since AND id % 2 = 0 AND day::text <> ':no' ORDER BY id"
    found = await from_postgres(reader, sql, {"since": date(2026, 1, 2)})
    assert len(found) == 1250
    assert found[0] == (2, date(2026, 1, 3), Decimal("3.00"))


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "DELETE FROM orders RETURNING id",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "SELECT * INTO other FROM orders",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT 1; DROP TABLE orders",
        "COMMIT; DROP TABLE orders",
        "COMMIT",
        "ROLLBACK",
        "SET TRANSACTION READ WRITE",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "COPY orders TO '/tmp/stolen'",
        "COPY orders TO PROGRAM 'cat > /tmp/stolen'",
        "CREATE TABLE other (x int)",
        "SELECT set_config('transaction_read_only', 'off', false), count(*) FROM orders",
        "SELECT query_to_xml('DELETE FROM orders RETURNING 1', true, true, '')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/stolen')",
        "SELECT nextval('nothing')",
        "no SQL at all",
        "",
    ],
)
async def test_postgres_refuses(reader: str, sql: str) -> None:
    with pytest.raises(QueryFailed, match="connection shop: "):
        await from_postgres(reader, sql)
    assert await from_postgres(reader, "SELECT count(*) FROM orders") == [(2500,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_sleep(60)",
        # a query that lifts the server's limit for the statements after it does not lift ours
        "SELECT set_config('statement_timeout', '0', false) FROM orders UNION ALL SELECT pg_sleep(60)::text",
        "SELECT set_config('statement_timeout', '0', false)"
        " || set_config('client_connection_check_interval', '0', false) FROM orders"
        " UNION ALL SELECT pg_sleep(60)::text",
        "SELECT count(*) FROM orders a, orders b, orders c",
    ],
)
async def test_postgres_stops_a_long_query(reader: str, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.families.reports.sources.postgres._GRACE_S", 0.2)
    with pytest.raises(QueryFailed, match=r"took more than 0\.2 s"):
        await from_postgres(reader, sql, seconds=0.2)
    await until_idle(reader)


async def test_a_query_that_lifts_the_servers_limits_is_cancelled(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.families.reports.sources.postgres._GRACE_S", 0.2)
    lifted = (
        "SELECT set_config('statement_timeout', '0', false), set_config('client_connection_check_interval', '0', false)"
    )
    monkeypatch.setattr("celeriac.families.reports.sources.postgres._LIMITS", f"{lifted} WHERE $1 <> ''")
    with pytest.raises(QueryFailed, match=r"took more than 0\.2 s"):
        await from_postgres(reader, "SELECT pg_sleep(60)", seconds=0.2)
    await until_idle(reader)


#: What the server says, or asyncpg before 0.32.
_TERMINATED = "terminating connection|connection was closed in the middle of operation"


@pytest.mark.parametrize(
    ("sql", "kind", "words"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", SourceUnavailable, _TERMINATED),
        ("SELECT pg_cancel_backend(pg_backend_pid())", QueryFailed, "canceling statement due to user request"),
    ],
)
async def test_what_another_attempt_may_not_meet_is_tried_again(
    reader: str, sql: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await from_postgres(reader, sql)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40001", SourceUnavailable),  # serialization_failure
        ("40P01", SourceUnavailable),  # deadlock_detected
        ("57P03", SourceUnavailable),  # cannot_connect_now
        ("22012", QueryFailed),  # division_by_zero
        ("42501", QueryFailed),  # insufficient_privilege
    ],
)
async def test_what_the_state_of_the_server_causes_is_tried_again(
    reader: str, code: str, kind: type[Exception]
) -> None:
    owner: Any = await asyncpg.connect(reader.replace("+asyncpg", "").replace("reader@", "celeriac@"))
    await owner.execute(
        """
        CREATE FUNCTION refuse(code text) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'refused with %', code USING ERRCODE = code; END $$
        """
    )
    await owner.close()
    with pytest.raises(kind, match=f"connection shop: refused with {code}"):
        await from_postgres(reader, "SELECT refuse(:code)", {"code": code})


async def test_a_connection_that_is_wrong_is_not_tried_again(reader: str) -> None:
    for url in (reader.replace("reader@", "nobody-here@"), reader.replace("?", "_gone?", 1)):
        with pytest.raises(SourceInvalid, match="does not exist"):
            await from_postgres(url, "SELECT 1")
    for url in ("postgresql://u:SECRET/1@h/d", "postgresql://u:SECRET@h:0/d?sslmode=SECRET"):
        with pytest.raises(SourceInvalid, match=r"is not understood: .* percent-encode") as wrong:
            await from_postgres(url, "SELECT 1")
        assert "SECRET" not in f"{wrong.value} {wrong.value.__cause__}"
    owner: Any = await asyncpg.connect(reader.replace("+asyncpg", "").replace("reader@", "celeriac@"))
    await owner.execute("""
        DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END $$
    """)
    await owner.close()
    with pytest.raises(SourceInvalid, match="permission denied for database"):
        await from_postgres(reader, "SELECT 1")


async def until_idle(url: str) -> None:
    """Fail unless the server soon works on no report's query."""
    connection: Any = await asyncpg.connect(url.replace("+asyncpg", "").replace("reader@", "celeriac@"))
    try:
        active = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()"
        )

        async def is_idle() -> bool:
            return await connection.fetchval(active) == 0

        await eventually(is_idle, within=10)
    finally:
        await connection.close()


@pytest.mark.parametrize("value", ["'4713-01-01 BC'::date", "'99999-01-01'::timestamp", "'24:00:00'::time"])
async def test_dates_that_python_lacks_are_named(reader: str, value: str) -> None:
    with pytest.raises(QueryFailed, match=r"out of range .*; select it as text"):
        await from_postgres(reader, f"SELECT {value}")
    assert len(await from_postgres(reader, f"SELECT ({value})::text")) == 1


async def test_a_powerful_user_of_postgres_is_refused(reader: str) -> None:
    powerful = reader.replace("reader@", "celeriac@")
    with pytest.raises(QueryFailed, match="its user has the role celeriac, which can read files"):
        await from_postgres(powerful, "SELECT 1")
    with pytest.raises(QueryFailed, match="name a user that may only read tables"):
        await check_postgres("shop", powerful)
    await check_postgres("shop", reader)


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        await from_postgres(f"postgresql://reader:geheim123@/shop?host={tmp_path}", "SELECT 1")
    assert "connection shop" in str(caught.value)
    assert "geheim123" not in str(caught.value)


async def test_a_named_query_on_a_named_connection_is_read_into_a_file(reader: str, tmp_path: Path) -> None:
    own = ReportsSettings(reports_connections=f"shop={reader}")
    sources = Sources()
    sql = "SELECT id, day, total FROM orders WHERE day > :since ORDER BY id"
    sources.add(query_source("orders", sql, connection="shop", types={"since": date}))
    told: list[tuple[int, int | None]] = []
    reading = Reader(sources, own, lambda: pytest.fail("no upload is read"))
    source = NamedRef(name="orders", parameters={"since": "2026-01-31"})
    spool, _ = await reading.read(source, tmp_path, lambda done, total: told.append((done, total)))
    assert (spool.kinds, spool.count) == (("integer", "date", "decimal"), 2470)
    assert next(spool.rows()) == (31, date(2026, 2, 1), Decimal("46.50"))
    assert told == [(1000, None), (2000, None), (2470, None)]
    assert [finding.status for finding in await check_connections(own)] == ["ok"]
    none = ReportsSettings(reports_connections=f"shop=sqlite:///{tmp_path / 'none.db'}")
    assert [finding.status for finding in await check_connections(none)] == ["fail"]
