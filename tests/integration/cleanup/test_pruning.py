"""Runs and the audit are kept for their time, and then forgotten, whatever else goes on."""

from __future__ import annotations

import pytest

from celeriac.families.cleanup.pruning import Keeping, prune
from celeriac.families.cleanup.settings import CleanupSettings
from tests.integration.cleanup.test_refusals import REFUSING
from tests.support.cleanup_shop import OLD, Shop, policy

DAY_S = 86_400
KEEPING = Keeping(runs_s=90 * DAY_S, audit_s=3650 * DAY_S)


async def make_runs(shop: Shop) -> None:
    """A run that archives 10 orders in 5 chunks, two that find nothing, and one of another policy."""
    await shop.add_orders(12)
    await shop.run(policy(action="archive", chunk={"rows": 2}), "archived")
    for job in ("nothing-1", "nothing-2"):
        await shop.run(policy(), job)
    await shop.run(policy(name="another"), "another")


async def age(shop: Shop, days: int, where: str = "1 = 1") -> None:
    await shop.execute(f"UPDATE celeriac_cleanup_run SET started_at = started_at - {days * DAY_S * 1000} WHERE {where}")


async def runs(shop: Shop) -> list[str]:
    return [row[0] for row in await shop.query("SELECT id FROM celeriac_cleanup_run ORDER BY started_at")]


async def chunks(shop: Shop) -> int:
    [(found,)] = await shop.query("SELECT count(*) FROM celeriac_cleanup_chunk")
    return int(found)


async def test_runs_without_rows_go_first_and_those_with_an_audit_much_later(shop: Shop) -> None:
    await make_runs(shop)
    await prune(shop.database, KEEPING)
    assert await runs(shop) == ["archived", "nothing-1", "nothing-2", "another"]
    await age(shop, 91)
    await prune(shop.database, KEEPING)
    assert await runs(shop) == ["archived", "nothing-2", "another"], "the last of each policy stays"
    assert await chunks(shop) == 5
    await age(shop, 3600)
    await prune(shop.database, KEEPING)
    assert (await runs(shop), await chunks(shop)) == (["nothing-2", "another"], 0)


async def test_a_run_forgets_what_is_old_and_one_that_is_under_way_is_kept(shop: Shop) -> None:
    await make_runs(shop)
    await age(shop, 91)
    await shop.execute("UPDATE celeriac_cleanup_run SET state = 'running' WHERE id = 'nothing-2'")
    await shop.insert("orders", [{"id": 1, "created_at": OLD.replace(tzinfo=None)}])
    assert (await shop.run(policy(name="another"), "now")).rows == {"orders": 1}
    assert await runs(shop) == ["archived", "nothing-2", "now"]


async def test_a_long_audit_goes_in_many_transactions(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.families.cleanup.pruning._ROWS", 2)
    monkeypatch.setattr("celeriac.families.cleanup.pruning._MOST_TRANSACTIONS", 2)
    await make_runs(shop)
    await age(shop, 4000, "id = 'archived'")
    left = [5]
    for _ in range(2):
        await prune(shop.database, KEEPING)
        left.append(await chunks(shop))
    assert left == [5, 1, 0]
    assert await runs(shop) == ["nothing-1", "nothing-2", "another"]


async def test_what_cannot_be_forgotten_ends_no_run(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    await make_runs(shop)
    await age(shop, 91)
    await shop.create(*(one.replace("ON orders", "ON celeriac_cleanup_run") for one in REFUSING[shop.database.dialect]))
    assert (await shop.run(policy(), "now")).state == "done"
    assert "old runs of cleanups are not forgotten" in caplog.text and "not today" in caplog.text


def test_the_settings_keep_as_long_as_a_place_does_by_itself() -> None:
    settings = CleanupSettings()
    assert Keeping(settings.cleanup_retention, settings.cleanup_audit_retention) == KEEPING == Keeping()
