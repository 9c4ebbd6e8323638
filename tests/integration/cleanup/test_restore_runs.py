"""What a run has archived goes back as it was: the run and the restore understand each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.restore import restore
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
