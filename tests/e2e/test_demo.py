"""`./dev demo`: every recipient of its mailing gets one mail, counted by the mail server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.__main__ import main
from tests.support.running import running

#: Free ports, because other tests run demos too, and a last line for programs.
OPTIONS = ["--port", "0", "--flower-port", "0", "--json"]
#: Seconds; a demo gives up by itself when nothing moves.
PATIENCE = 500.0
FAMILIES = ["cleanup", "email", "media", "reports", "sync", "webhooks"]
RECIPIENTS = 150  # two chunks, so that both of a worker's processes may send


@pytest.mark.slow
async def test_every_mail_of_the_demo_arrives_once() -> None:
    async with running(["-m", "demo", *OPTIONS, "--exit", "--recipients", str(RECIPIENTS)]) as demo:
        assert await demo.ended(within=PATIENCE) == 0, "\n".join(demo.lines)
    assert not [line for line in demo.lines if "broke off" in line]
    outcome = json.loads(demo.lines[-1])
    assert outcome.pop("job") and outcome.pop("seconds") > 0
    counted = {"recipients": RECIPIENTS, "delivered": RECIPIENTS, "failed": 0, "duplicates": 0}
    assert outcome == {"family": "email", "ok": True, **counted}


@pytest.mark.slow
async def test_all_demos_run_one_after_another_on_one_stack(tmp_path: Path) -> None:
    media, reports = tmp_path / "media", tmp_path / "reports"
    sizes = ["--orders", "12000", "--recipients", "10", "--rows", "3000", "--records", "5000", "--events", "50"]
    command = ["-m", "demo", "all", *OPTIONS, *sizes, "--folder", str(media), "--output", str(reports)]
    async with running(command) as demo:
        assert await demo.ended(within=PATIENCE) == 0, "\n".join(demo.lines)
    *each, last = [json.loads(line) for line in demo.lines if line.startswith("{")]
    assert [outcome["family"] for outcome in each] == last["families"] == FAMILIES
    assert all(outcome["ok"] for outcome in each)
    assert (last["family"], last["ok"]) == ("all", True)
    assert_that_each_order_is_somewhere(each[0], 12_000)
    assert_that_the_outputs_are_there(each[2], media)
    assert_that_every_file_has_all_orders(each[3], reports)
    assert_that_each_record_is_a_row(each[4], 5000)


def assert_that_each_order_is_somewhere(outcome: dict[str, Any], orders: int) -> None:
    assert list(outcome) == ["family", "ok", "deleted", "archived", "left", "slowest_writer_ms", "seconds"]
    assert outcome["deleted"] == outcome["archived"] == orders - orders // 6
    assert outcome["left"] == orders // 6
    assert outcome["slowest_writer_ms"] > 0


def assert_that_each_record_is_a_row(outcome: dict[str, Any], records: int) -> None:
    assert list(outcome) == ["family", "ok", "records", "rows", "rejected", "requests", "repeated_pages", "seconds"]
    assert outcome["records"] == outcome["rows"] == records
    assert outcome["rejected"] == 0
    assert outcome["requests"] > records / 100
    assert outcome["repeated_pages"] <= 3  # two that were read in advance, and the one that was being written


def assert_that_the_outputs_are_there(outcome: dict[str, Any], folder: Path) -> None:
    assert list(outcome) == ["family", "ok", "outputs", "overhead", "seconds"]
    assert list(outcome["outputs"]) == ["mp4", "hls", "thumbnail", "webp"]
    assert all(Path(path).parent == folder and Path(path).stat().st_size for path in outcome["outputs"].values())


def assert_that_every_file_has_all_orders(outcome: dict[str, Any], folder: Path) -> None:
    assert list(outcome) == ["family", "ok", "rows", "pages", "pdf", "xlsx", "csv", "peak_mb", "seconds"]
    assert outcome["rows"] == 3000
    assert outcome["pages"] > 50
    for form in ("pdf", "xlsx", "csv"):
        assert Path(outcome[form]) == folder / f"orders.{form}"
        assert Path(outcome[form]).stat().st_size > 50_000


def test_a_demo_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faxes", "--exit"]) == 2
    demos = "cleanup, email, media, report, sync, webhooks, all"
    assert capsys.readouterr().err == f"./dev demo: there is no demo of 'faxes'; there are {demos}\n"


FAILING = """
    from contextlib import asynccontextmanager

    from celeriac.demo import Demo, DemoFailed
    from celeriac.family import JobFamily


    class Failing(Demo):
        def __init__(self, options): ...

        @asynccontextmanager
        async def surroundings(self):
            raise DemoFailed("its server does not start")
            yield {}

        async def run(self, api, console): ...


    class Family(JobFamily):
        name = "failing"
        summary = "Fails"

        def __init__(self, host): ...

        @classmethod
        def demo(cls):
            return Failing
"""


def test_a_demo_that_fails_says_so_in_its_outcome(
    install_guest: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    install_guest("failing", FAILING)
    assert main(["failing", "--exit", "--json"]) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert outcome.pop("seconds") >= 0
    assert outcome == {"family": "failing", "ok": False, "error": "its server does not start"}
