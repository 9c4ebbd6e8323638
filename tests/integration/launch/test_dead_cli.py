"""`celeriac dead`: what a person types when tasks have been given up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner, Result

from celeriac import BrokerUnavailable, ConfigurationError
from celeriac.cli import ExitCode, cli
from celeriac.store import keys
from celeriac.store.messages import taking
from celeriac.store.messages.taking import Source
from celeriac.store.messages.worker_hold import WorkerHold
from celeriac.store.redis.runner import run_blocking

PLAIN = """
from celery import Celery
app = Celery("shop", broker="{url}", set_as_current=False)
"""


def message(number: int, task: str = "shop.send") -> bytes:
    return json.dumps({"body": number, "headers": {"id": f"job-{number}", "task": task}, "properties": {}}).encode()


def give_up(broker: redis.Redis, raw: bytes, queue: str = "mail", cause: str = "[bold]too late") -> None:
    broker.lpush(queue, raw)
    run_blocking(broker, taking.take([Source(queue, [queue])], worker="w", receipt="w/1", count=1, lease_ms=60_000))
    assert WorkerHold(broker, "w", lease=60).give_up("w/1", cause)


class Celeriac:
    """The command, in this process: what starts it, and its exit codes, are tested once for all commands."""

    def __init__(self, broker_url: str) -> None:
        self._variables = {"CELERIAC_BROKER_URL": broker_url, "COLUMNS": "200"}

    def __call__(self, *arguments: str, **variables: str) -> Result:
        return CliRunner().invoke(cli, ["dead", *arguments], env={**self._variables, **variables})

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        done = self(*arguments, "--json")
        assert done.exit_code == ExitCode.OK, done.output
        return json.loads(done.stdout)


@pytest.fixture
def celeriac(broker_url: str) -> Celeriac:
    return Celeriac(broker_url)


@pytest.fixture
def applications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory where `--app` looks for modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_dead_letters_are_listed(celeriac: Celeriac, broker: redis.Redis) -> None:
    assert celeriac("list").stdout == "no dead letters\n"
    give_up(broker, message(1))
    give_up(broker, message(2, "shop.bill"), "bills")
    table = celeriac("list").stdout
    assert all(shown in table for shown in ("job-1", "shop.send", "mail", "[bold]too late", "shop.bill", "bills"))
    assert [letter["job_id"] for letter in celeriac.json("list")] == ["job-2", "job-1"]
    assert [letter["job_id"] for letter in celeriac.json("list", "--task", "shop.send")] == ["job-1"]
    assert [letter["job_id"] for letter in celeriac.json("list", "--queue", "bills")] == ["job-2"]
    assert [letter["job_id"] for letter in celeriac.json("list", "--limit", "1")] == ["job-2"]


def test_one_that_cannot_be_read_is_shown_safely_and_can_be_replayed(celeriac: Celeriac, broker: redis.Redis) -> None:
    give_up(broker, b"\x1b[2J\xff" + b"x" * 100_000, cause="it is not JSON")
    give_up(broker, message(1, "evil\x1b[2J\ntask"))
    give_up(broker, message(2, "evil\x1b[2J\ntask"), cause="evil\x1b[2J\ncause")
    table = celeriac("list").stdout
    assert "\x1b" not in table
    assert r"\x1b[2J\xffxx" in table.replace("\n", "").replace(" ", "")
    assert len(table) < 10_000
    [named, _, nameless] = celeriac.json("list")
    assert named["cause"] == "evil\x1b[2J\ncause"
    assert (nameless["job_id"], nameless["task"], nameless["cause"]) == ("", "", "it is not JSON")
    assert nameless["message"] == r"\x1b[2J\xff" + "x" * 195 + "..."
    done = celeriac("replay", "--all")
    assert done.exit_code == ExitCode.OK
    assert "\x1b" not in done.stdout
    assert broker.lrange("mail", -1, -1) == [message(2, "evil\x1b[2J\ntask")]


def test_they_are_replayed_by_their_own_id_and_by_their_jobs(celeriac: Celeriac, broker: redis.Redis) -> None:
    for number in range(3):
        give_up(broker, message(number))
    own_id = celeriac.json("list")[2]["id"]
    done = celeriac("replay", own_id, "job-2")
    assert done.exit_code == ExitCode.OK
    assert done.stdout.splitlines()[1] == f"{own_id} shop.send job-0: replayed"
    assert broker.lrange("mail", 0, -1)[::-1] == [message(2), message(0)]
    assert [letter["job_id"] for letter in celeriac.json("list")] == ["job-1"]


def test_they_are_dropped(celeriac: Celeriac, broker: redis.Redis) -> None:
    give_up(broker, message(1))
    give_up(broker, message(2, "shop.bill"))
    assert [letter["job_id"] for letter in celeriac.json("drop", "--task", "shop.bill")] == ["job-2"]
    assert celeriac("drop", "--all").stdout.endswith("shop.send job-1: dropped\n")
    assert broker.xlen(keys.DEAD) == 0
    assert broker.llen("mail") == 0


def test_what_cannot_be_replayed_holds_up_nothing_else(celeriac: Celeriac, broker: redis.Redis) -> None:
    give_up(broker, message(1))
    give_up(broker, message(2))
    broker.hset(keys.record("job-2"), "state", "succeeded")
    done = celeriac("replay", "--all")
    assert done.exit_code == ExitCode.FAILURE
    assert "job-2: job job-2 has succeeded; drop its dead letter" in done.stdout
    assert "job-1: replayed" in done.stdout
    assert broker.lrange("mail", 0, -1) == [message(1)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["replay"], "give ids, or else --all, --task or --queue"),
        (["drop", "job-1", "--all"], "give ids, or else --all, --task or --queue"),
        (["replay", "job-1", "job-9"], "no dead letter has the id 'job-9'"),
    ],
)
def test_a_wrong_command_does_nothing(
    celeriac: Celeriac, broker: redis.Redis, arguments: list[str], problem: str
) -> None:
    give_up(broker, message(1))
    done = celeriac(*arguments)
    assert done.exit_code == ExitCode.USAGE
    assert problem in done.stderr.replace("\n", " ")
    assert broker.xlen(keys.DEAD) == 1


def test_the_application_may_be_a_plain_one(
    celeriac: Celeriac, broker: redis.Redis, applications: Path, broker_url: str
) -> None:
    give_up(broker, message(1))
    (applications / "plain_shop.py").write_text(PLAIN.format(url=broker_url))
    done = celeriac("list", "--app", "plain_shop:app", "--json", CELERIAC_BROKER_URL="redis://127.0.0.1:1/0")
    assert [letter["job_id"] for letter in json.loads(done.stdout)] == ["job-1"]


def test_an_application_without_a_redis_is_refused(celeriac: Celeriac, applications: Path) -> None:
    (applications / "rabbit_shop.py").write_text(PLAIN.format(url="amqp://127.0.0.1:1//"))
    done = celeriac("list", "--app", "rabbit_shop:app")
    assert isinstance(done.exception, ConfigurationError)
    assert "rabbit_shop:app (or --app): is not an application with a broker on Redis" in str(done.exception)


def test_a_broker_that_is_away_is_named(celeriac: Celeriac) -> None:
    done = celeriac("list", CELERIAC_BROKER_URL="redis://127.0.0.1:1/0")
    assert isinstance(done.exception, BrokerUnavailable)
