"""What can never succeed: a run says so at once, and leaves rows, archive and audit as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from celeriac.core.errors import DatabaseRefused
from celeriac.families.cleanup.dry_run import preview
from celeriac.families.cleanup.errors import CleanupRefused, RowsKept, TableRefused
from tests.support.cleanup_shop import OLD, Shop, policy
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer

KEEPING = {
    "sqlite": ["CREATE TRIGGER keeping BEFORE DELETE ON orders WHEN OLD.id > 3 BEGIN SELECT RAISE(IGNORE); END"],
    "postgresql": [
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id > 3 THEN RETURN NULL; END IF; "
        "RETURN OLD; END'",
        "CREATE TRIGGER keeping BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep()",
    ],
}
REFUSING = {
    "sqlite": ["CREATE TRIGGER refusing BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'not today'); END"],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END'",
        "CREATE TRIGGER refusing BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
    "mysql": [
        "CREATE TRIGGER refusing BEFORE DELETE ON orders FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = "
        "'not today'"
    ],
}


async def runs(shop: Shop) -> list[tuple[object, ...]]:
    return await shop.query("SELECT state, holder FROM celeriac_cleanup_run, celeriac_cleanup_lock")


async def test_a_trigger_that_keeps_rows_ends_the_run_and_is_named(shop: Shop) -> None:
    await shop.add_orders(30)
    statements = KEEPING.get(shop.database.dialect)
    if statements is None:
        pytest.skip("no trigger of MySQL can keep a row without an error")
    await shop.create(*statements)
    with pytest.raises(RowsKept, match="orders stay although they were deleted: a trigger"):
        await shop.run(policy(action="archive"))
    archived = {int(row["id"]) for row in await shop.archived()}
    assert sorted([*await shop.ids(), *archived]) == list(range(1, 31))
    assert await runs(shop) == [("failed", None)]


async def test_a_trigger_that_refuses_is_quoted(shop: Shop) -> None:
    await shop.add_orders(30)
    await shop.create(*REFUSING[shop.database.dialect])
    says = (
        r"a trigger refuses to delete rows of orders, from .* to .*: .*not today.*Leave such rows out of the condition"
    )
    with pytest.raises(CleanupRefused, match=says) as caught:
        await shop.run(policy())
    assert "because others refer" not in str(caught.value)
    assert len(await shop.ids()) == 30
    assert await runs(shop) == [("failed", None)]


async def test_a_condition_that_fails_on_rows_ends_the_run(shop: Shop) -> None:
    await shop.add_orders(6)
    if shop.database.dialect == "sqlite":
        sql = "abs(-9223372036854775807 - id) < 0"
    else:
        sql = "1 / (id - 1) > 5" if shop.database.dialect == "postgresql" else "cast(id as unsigned) - 2 < 0"
    with pytest.raises(CleanupRefused, match="refuses a statement of the policy"):
        await shop.run(policy(where={"sql": sql}))
    assert await runs(shop) == [("failed", None)]


async def test_a_value_that_a_row_has_already_is_refused_without_values(shop: Shop) -> None:
    await shop.add_orders(6)
    await shop.create("CREATE UNIQUE INDEX one_note ON orders (note)")
    with pytest.raises(CleanupRefused, match="refuses a statement of the policy") as caught:
        await shop.run(policy(action="anonymise", columns={"note": "the same"}))
    if shop.database.dialect != "mysql":  # its only line has the value
        assert "the same" not in str(caught.value)


async def test_tables_of_a_migration_that_was_killed_are_completed(shop: Shop) -> None:
    await shop.add_orders(12)
    await shop.run(policy(), "first")
    await shop.execute("DROP TABLE celeriac_schema_cleanup")
    shop.database.check_schema_again()
    assert (await shop.run(policy(), "second")).state == "done"


async def test_a_misspelt_file_is_refused(tmp_path: Path) -> None:
    shop = Shop(f"sqlite:///{tmp_path}/shpo.db", tmp_path / "archives")
    with pytest.raises(DatabaseRefused, match=r"shpo\.db.*unable to open"):
        await shop.run(policy())
    await shop.database.dispose()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but a text that is long enough to be read as one. " * 40)
    shop = Shop(f"sqlite:///{tmp_path}/text", tmp_path / "archives")
    with pytest.raises(DatabaseRefused, match="file is not a database"):
        await shop.run(policy())
    await shop.database.dispose()


@pytest.mark.parametrize("change", [("/test_", "/no_such_"), ("//celeriac@", "//nobody:hidden-password@")])
async def test_postgres_refuses_user_or_database(
    change: tuple[str, str], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    shop = Shop((await postgres_server.create_database()).replace(*change), tmp_path / "archives")
    with pytest.raises(DatabaseRefused, match="does not exist") as caught:
        await shop.run(policy())
    assert "hidden-password" not in str(caught.value)
    await shop.database.dispose()


async def test_a_user_who_may_only_read_is_refused(postgres_server: PostgresServer, tmp_path: Path) -> None:
    url = await postgres_server.create_database()
    owner = Shop(url, tmp_path / "archives")
    await owner.add_orders(6)
    await owner.run(policy(where={"sql": "id < 0"}), "first")
    role = url.rpartition("/test_")[2].partition("?")[0][:8]
    for statement in (
        f"CREATE ROLE reader_{role} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{role}",
    ):
        await owner.execute(statement)
    reader = Shop(url.replace("celeriac@", f"reader_{role}@"), tmp_path / "archives")
    with pytest.raises(CleanupRefused, match="permission denied"):
        await reader.run(policy())
    for shop in (owner, reader):
        await shop.database.dispose()


async def test_keys_and_values_that_are_no_numbers_are_archived_and_shown(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    shop = Shop(await postgres_server.create_database(), tmp_path / "archives")
    await shop.create("CREATE TABLE orders (id FLOAT8 PRIMARY KEY, created_at TIMESTAMP)")
    insert = text("INSERT INTO orders VALUES ('NaN', :at), ('-Infinity', :at), ('Infinity', :at), (0.1, :at)")
    await shop.database.write(lambda c: c.execute(insert, {"at": OLD.replace(tzinfo=None)}))
    shown = await preview(shop.place, policy())
    assert [row[0] for row in shown.sample] == ["-inf", 0.1, "inf", "nan"]
    assert (await shop.run(policy(action="archive"))).rows == {"orders": 4}
    assert [row["id"] for row in await shop.archived()] == ["-inf", "0.1", "inf", "nan"]
    await shop.database.dispose()


async def test_a_table_without_transactions_is_refused(mariadb_server: MariadbServer, tmp_path: Path) -> None:
    shop = Shop(mariadb_server.create_database(), tmp_path / "archives")
    await shop.create("CREATE TABLE orders (id INTEGER PRIMARY KEY, created_at TIMESTAMP) ENGINE = MyISAM")
    with pytest.raises(TableRefused, match="engine MyISAM, which has no transactions"):
        await shop.run(policy(action="archive"))
    await shop.execute("ALTER TABLE orders ENGINE = InnoDB")
    assert (await shop.run(policy(action="archive"))).state == "done"
    await shop.database.dispose()


async def test_a_run_that_fails_with_a_damaged_archive_has_ended_all_the_same(shop: Shop) -> None:
    await shop.add_orders(60)

    async def damage() -> None:
        for path in shop.archives.glob("*.csv.gz"):
            path.write_bytes(path.read_bytes()[:60] + b"no archive" + path.read_bytes()[70:])
            await shop.execute("ALTER TABLE orders RENAME TO gone")
            shop.gates = ()

    shop.gates = [damage]
    with pytest.raises(CleanupRefused, match="refuses a statement of the policy"):
        await shop.run(policy(action="archive", chunk={"rows": 10}))
    assert await runs(shop) == [("failed", None)]


async def test_a_run_whose_job_was_lost_has_failed_once_another_one_begins(shop: Shop) -> None:
    await shop.add_orders(12)
    await shop.run(policy(), "lost")
    await shop.execute("UPDATE celeriac_cleanup_run SET state = 'running'")
    await shop.run(policy(), "next")
    states = await shop.query("SELECT id, state, error IS NULL FROM celeriac_cleanup_run ORDER BY id")
    assert [(job, state, bool(fine)) for job, state, fine in states] == [
        ("lost", "failed", False),
        ("next", "done", True),
    ]
    await shop.run(policy(), "lost")
    assert ("lost", "done") in await shop.query("SELECT id, state FROM celeriac_cleanup_run")
