import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac.launch.programs import commands
from celeriac.launch.programs.flower import flower_options
from celeriac.settings import Settings, as_environment, load_settings

SECRET = "0123456789abcdef"
EVERYTHING: dict[str, Any] = {
    "broker_url": f"redis://:{SECRET}@broker:6379/1",
    "result_url": f"redis://:{SECRET}@results:6379/1",
    "database_url": f"postgresql+asyncpg://me:{SECRET}@db/jobs",
    "data_dir": Path("/var/lib/jobs"),
    "host": "0.0.0.0",
    "port": 80,
    "flower_port": 81,
    "flower_auth": f"ann:{SECRET}",
    "api_keys": f"ci:{SECRET},ops:{SECRET}",
    "worker_concurrency": 7,
    "lease": 30.5,
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CELERIAC_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("values", [EVERYTHING, {"data_dir": Path("/var/lib/jobs")}], ids=["everything", "defaults"])
def test_a_child_reads_the_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    settings = Settings(**values)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_a_child_finds_the_data_directory_from_anywhere() -> None:
    variables = as_environment(Settings(data_dir=Path("data")))
    assert variables["CELERIAC_DATA_DIR"] == str(Path("data").absolute())


def test_no_secret_is_in_a_command_line() -> None:
    settings = Settings(**EVERYTHING)
    lines = [
        commands.api_command(settings),
        _shard_command(settings),
        commands.fork_server_command(settings, control=7),
        commands.beat_command(settings),
        commands.flower_command(settings, flower_options(settings)),
    ]
    assert not [line for line in lines if SECRET in " ".join(line)]


def test_commands_follow_the_settings() -> None:
    settings = Settings(host="::1", port=81, flower_port=82, worker_concurrency=3, data_dir=Path("/data"))
    assert _pairs(commands.api_command(settings)) >= {("--host", "::1"), ("--port", "81")}
    assert _pairs(_shard_command(settings)) >= {("--concurrency", "3"), ("-A", settings.app)}
    assert _pairs(commands.beat_command(settings)) >= {("--schedule", "/data/beat-schedule")}
    assert set(commands.flower_command(settings, flower_options(settings))) >= {"--address=::1", "--port=82"}


def test_the_users_own_applications_take_the_place_of_ours() -> None:
    settings = Settings(broker_url=SecretStr("redis://broker"))
    api = commands.api_command(settings, "shop:api")
    assert "shop:api" in api
    assert "--factory" not in api
    assert ("-A", "shop:app") in _pairs(_shard_command(settings.model_copy(update={"app": "shop:app"})))


def test_the_api_bounds_the_time_of_requests_whosever_it_is() -> None:
    for api in (None, "shop:api"):
        assert ("--http", "celeriac.server:TimedProtocol") in _pairs(commands.api_command(Settings(), api))


def test_further_options_come_last_so_that_they_win() -> None:
    settings = Settings(worker_concurrency=3)
    assert _shard_command(settings, extra=["--concurrency", "5"])[-2:] == ("--concurrency", "5")


def _shard_command(settings: Settings, extra: Sequence[str] = ()) -> tuple[str, ...]:
    return commands.shard_command(commands.shard_arguments(settings, extra, cores=2), report_to=7)


def _pairs(command: tuple[str, ...]) -> set[tuple[str, str]]:
    return set(pairwise(command))
