"""What a run has archived goes back as it was: the run and the restore understand each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.context import JobContext
from celeriac.families.cleanup import restore_tables
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import ArchiveRefused
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.restore import Restored, restore
from celeriac.families.cleanup.restoring import restore_run
from tests.support.cleanup_shop import Shop

POLICY: dict[str, Any] = {
    "name": "old-orders",
    "connection": "shop",
    "table": "orders",
    "where": {"sql": "id <> 5"},
    "action": "archive",
    "chunk": {"rows": 10},
}
ODD = {
    "sqlite": ("odd, at DATETIME", "'1', '2026-01-01 10:00'", "1.5, NULL", "x'00ff', ''"),
    "postgresql": (
        "odd jsonb, span interval, at timestamptz, tags text[]",
        "'null', '1 month', 'infinity', '{\"a,b\",NULL}'",
        "'{\"a\": 1.10}', '24 hours', '0044-03-15 BC', '[0\\:1]={x,y}'",
        "NULL, NULL, '9999-12-31 23:59:59.999999+00', NULL",
    ),
    "mysql": (
        "odd JSON, at DATETIME(6), price DECIMAL(10,2), data BLOB, span TIME",
        "'{\"a\": 1}', '2026-01-01 10:00:00.000001', 1.10, 'x', '-12\\:00'",
        "NULL, NULL, NULL, '', NULL",
        "'[1.5]', '9999-12-31', -0.01, NULL, '100\\:00'",
    ),
}


@pytest.mark.parametrize("archive", ["csv.gz", "parquet", {"table": "orders_old"}], ids=str)
async def test_what_a_run_has_taken_a_restore_gives_back(shop: Shop, archive: Any) -> None:
    columns, *values = ODD[shop.database.dialect]
    await shop.execute(f"CREATE TABLE orders (id INTEGER PRIMARY KEY, note VARCHAR(50), {columns})")
    for n in range(1, 31):
        await shop.execute(f"INSERT INTO orders VALUES ({n}, 'note {n}', {values[n % 3]})")
    names = "CAST(orders AS text)" if shop.database.dialect == "postgresql" else "*"
    before = await shop.query(f"SELECT {names} FROM orders ORDER BY id")

    result = await shop.run(Policy.model_validate({**POLICY, "archive": archive}))
    assert (result.state, await shop.ids()) == ("done", [5])
    files = [Path(file.path) for file in result.files]
    source = files if isinstance(archive, str) else TableName(None, "orders_old")
    found = await restore(shop.database, source, TableName(None, "orders"))
    assert (found.restored, found.skipped) == (29, 0)
    assert await shop.query(f"SELECT {names} FROM orders ORDER BY id") == before


class StoppedJob(JobContext):
    """A job whose worker stops when it has reported something."""

    def progress(self, *reported: Any, **more: Any) -> None:
        raise asyncio.CancelledError


async def orders_of(shop: Shop) -> Any:
    names = "CAST(orders AS text)" if shop.database.dialect == "postgresql" else "*"
    return await shop.query(f"SELECT {names} FROM orders ORDER BY id")


@pytest.fixture
async def filled(shop: Shop) -> Shop:
    await shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note VARCHAR(50))")
    for n in range(1, 31):
        await shop.execute(f"INSERT INTO orders VALUES ({n}, 'note {n}')")
    return shop


@pytest.mark.parametrize("archive", ["csv.gz", {"table": "orders_old"}], ids=str)
async def test_a_restore_whose_worker_stopped_goes_on_behind_its_own_rows(
    filled: Shop, archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_tables, "_CHUNK", 10)
    policy = Policy.model_validate({**POLICY, "archive": archive})
    before = await orders_of(filled)
    await filled.run(policy)
    run = "job-1" if isinstance(archive, str) else None
    form = RestoreForm(policy=policy.name, run=run, on_conflict="fail")
    with pytest.raises(asyncio.CancelledError):
        await restore_run(filled.place, policy, form, StoppedJob(id="restore"), "somebody")
    assert len(await filled.ids()) == 11
    found = await restore_run(filled.place, policy, form, JobContext(id="restore"), "somebody")
    assert found.tables == {"orders": Restored(rows=29, restored=29)}
    assert await orders_of(filled) == before
    with pytest.raises(ArchiveRefused, match="cannot be restored"):  # another one finds them there
        await restore_run(filled.place, policy, form, JobContext(id="another"), "somebody")


async def test_rows_that_a_restore_left_in_the_archives_table_go_there_again(filled: Shop) -> None:
    policy = Policy.model_validate({**POLICY, "archive": {"table": "orders_old"}})
    await filled.run(policy)
    form = RestoreForm(policy=policy.name)
    await restore_run(filled.place, policy, form, JobContext(id="restore-1"), "somebody")
    result = await filled.run(policy, job="job-2")
    assert (result.state, result.rows, await filled.ids()) == ("done", {"orders": 29}, [5])
    assert len(await filled.ids("orders_old")) == 29

    await restore_run(filled.place, policy, form, JobContext(id="restore-2"), "somebody")
    await filled.execute("UPDATE orders SET note = 'another' WHERE id IN (14, 17)")
    with pytest.raises(ArchiveRefused, match=r"orders_old has other versions of 2 rows of orders.*take those out of"):
        await filled.run(policy, job="job-3")
    assert await filled.query("SELECT note FROM orders WHERE id = 14") == [("another",)]
    assert await filled.query("SELECT note FROM orders_old WHERE id = 14") == [("note 14",)]
    await filled.execute("DELETE FROM orders_old WHERE id IN (14, 17)")
    await filled.run(policy, job="job-4")
    assert await filled.ids() == [5] and len(await filled.ids("orders_old")) == 29
    assert await filled.query("SELECT note FROM orders_old WHERE id = 14") == [("another",)]
