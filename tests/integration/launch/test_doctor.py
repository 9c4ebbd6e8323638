"""The doctor, looking at real servers that work, do not work, or are not there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from celeriac.cli import ExitCode
from celeriac.core.findings import Finding, Status
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.launch.doctor import doctor as doctor_module
from celeriac.launch.doctor.doctor import check_version, examine
from celeriac.launch.resources.ports import free_port
from tests.support.running import running

OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL


@asynccontextmanager
async def _mail_server() -> AsyncGenerator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Sink()), "127.0.0.1", 0)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets `CELERIAC_<NAME>` variables; the API's port is one on which nobody listens."""

    def set_variables(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"CELERIAC_{name.upper()}", str(value))

    set_variables(data_dir=tmp_path, port=free_port())
    return set_variables


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor waits less for a worker that cannot answer, because there is none."""
    monkeypatch.setattr(doctor_module, "_PATIENCE_S", 1.0)


async def _findings() -> dict[str, Finding]:
    return {finding.check: finding for finding in await examine()}


def _statuses(findings: dict[str, Finding]) -> dict[str, Status]:
    return {name: finding.status for name, finding in findings.items()}


@pytest.mark.slow
async def test_a_running_stack_is_well(tmp_path: Path) -> None:
    options = ["--data-dir", str(tmp_path)]
    up = ["-m", "celeriac", "up", *options, "--port", "0", "--flower-port", "0", "--no-flower", "--no-beat"]
    async with _mail_server() as smtp_url, running(up) as stack:
        await stack.printed(r"celeriac \| ready in", within=120)
        environment = {"CELERIAC_SMTP_URL": smtp_url}
        async with running(["-m", "celeriac", "doctor", "--json", *options], environment=environment) as doctor:
            assert await doctor.ended(within=90) == ExitCode.OK
        report = json.loads("\n".join(doctor.lines))
        assert report["ok"] is True
        assert [(found["check"], found["status"]) for found in report["findings"]] == [
            ("python", "ok"),
            ("settings", "ok"),
            ("server", "ok"),
            ("files", "ok"),
            ("broker", "ok"),
            ("persistence", "ok"),
            ("eviction", "ok"),
            ("memory", "ok"),
            ("database", "ok"),
            ("families", "ok"),
            ("mail", "ok"),
            ("ffmpeg", "ok"),
            ("libreoffice", "ok"),
            ("confinement", "ok"),
            ("webhooks", "ok"),
            ("api", "ok"),
            ("worker", "ok"),
        ]


async def test_where_nothing_runs_it_says_what_to_start(tmp_path: Path) -> None:
    command = ["-m", "celeriac", "doctor", "--data-dir", str(tmp_path)]
    environment = {"CELERIAC_BROKER_URL": f"redis://:hidden@127.0.0.1:{free_port()}", "CELERIAC_PORT": str(free_port())}
    async with running(command, environment=environment) as doctor:
        assert await doctor.ended(within=90) == ExitCode.FAILURE
    doctor.number(r"^fail +broker +redis://127\.0\.0\.1:\d+: the broker cannot be used")
    doctor.number("start it, or correct CELERIAC_BROKER_URL")
    doctor.number(r"^fail +api +no server answers on http://127\.0\.0\.1")
    doctor.number("start it with `celeriac up`")
    assert "hidden" not in "\n".join(doctor.lines)


async def test_a_wrong_setting_is_the_only_thing_to_read(variables: Any) -> None:
    variables(lease="soon", api_keys="ci:short")
    findings = await _findings()
    assert _statuses(findings) == {"python": OK, "settings": FAIL}
    assert "CELERIAC_LEASE=soon" in findings["settings"].detail
    assert "short" not in findings["settings"].detail


@pytest.mark.usefixtures("no_worker")
async def test_a_broker_that_forgets_is_a_warning(variables: Any, tmp_path: Path) -> None:
    from redis.asyncio import Redis

    async with embedded_valkey(tmp_path, append_only=False) as url, Redis.from_url(url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        findings = await _findings()
    assert findings["broker"].status is OK
    assert findings["persistence"].status is WARN
    assert findings["eviction"].status is WARN
    assert "allkeys-lru" in findings["eviction"].detail


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"redis_version": "6.2.14"}, Status.FAIL),
        ({"redis_version": "7.0.0"}, Status.OK),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0"}, Status.OK),
        ({}, Status.OK),
    ],
)
def test_a_server_that_is_too_old_is_named(facts: dict[str, Any], status: Status) -> None:
    assert check_version("redis://here", facts).status is status


@pytest.mark.usefixtures("no_worker")
async def test_a_server_that_gives_each_job_too_much_memory_is_a_warning(variables: Any, tmp_path: Path) -> None:
    from redis.asyncio import Redis

    async with embedded_valkey(tmp_path, append_only=False) as url, Redis.from_url(url) as client:
        await client.config_set("stream-node-max-bytes", 4096)
        memory = (await _findings())["memory"]
    assert (memory.status, "set `stream-node-max-bytes 256`" in memory.advice) == (WARN, True)
    assert "is 4096" in memory.detail


@pytest.mark.usefixtures("no_worker")
async def test_a_server_that_does_not_tell_its_memory_settings_is_said_not_to(variables: Any, tmp_path: Path) -> None:
    from redis.asyncio import Redis

    async with embedded_valkey(tmp_path, append_only=False) as url, Redis.from_url(url) as client:
        await client.execute_command("ACL", "SETUSER", "tenant", "on", ">secret", "~*", "&*", "+@all", "-config")
        variables(broker_url=url.replace("redis://:", "redis://tenant:").replace(_password(url), "secret"))
        findings = await _findings()
    assert findings["broker"].status is OK
    assert findings["memory"].status is OK
    assert "does not show its stream-node-max-bytes" in findings["memory"].detail


def _password(url: str) -> str:
    return str(urlsplit(url).password)


async def test_a_worker_of_another_application_is_not_asked_to_run_a_job_of_ours(
    variables: Any, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text("from celeriac import Celeriac\napp = Celeriac('shop')\n")
    worker = ["-m", "celeriac", "worker", "--app", "shop:app"]
    async with embedded_valkey(tmp_path / "valkey", append_only=False) as url:
        variables(broker_url=url)
        async with running(worker, cwd=tmp_path, environment={"CELERIAC_BROKER_URL": url}) as program:
            await program.printed(r" ready\.", within=120)
            found = (await _findings())["worker"]
    assert (found.status, found.advice) == (FAIL, "name it: --app module:attribute")


async def test_without_a_worker_no_job_is_left_in_the_list(
    variables: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celeriac import Celeriac, load_settings

    monkeypatch.setattr("celeriac.launch.doctor.doctor._PATIENCE_S", 0.2)
    async with embedded_valkey(tmp_path, append_only=False):
        findings = await _findings()
        client = Celeriac("test", settings=load_settings()).client
        records, _ = await client.page(limit=10)
        await client.aclose()
    assert findings["worker"].status is FAIL
    assert "celeriac worker" in findings["worker"].advice
    assert records == []


async def test_a_mistyped_variable_is_named_with_the_nearest_right_one(variables: Any) -> None:
    variables(leese=30, lease="soon")
    variable = (await _findings())["variable"]
    assert (variable.status, variable.advice) == (WARN, "did you mean CELERIAC_LEASE?")
    assert "CELERIAC_LEESE" in variable.detail


async def test_an_application_that_cannot_be_loaded_is_a_finding(variables: Any) -> None:
    variables(app="no_such_module:app", broker_url=f"redis://:hidden@127.0.0.1:{free_port()}")
    findings = await _findings()
    assert (findings["app"].status, findings["worker"].status) == (FAIL, FAIL)
    assert "there is no module 'no_such_module'" in findings["app"].detail


async def test_a_mail_server_that_cannot_be_used(variables: Any) -> None:
    variables(smtp_url="smtp://127.0.0.1:1")
    mail = (await _findings())["mail"]
    assert mail.status is FAIL
    assert "cannot be used" in mail.detail
    assert "CELERIAC_SMTP_URL" in mail.advice


async def test_a_wrong_mail_server_is_a_finding_without_its_password(variables: Any) -> None:
    variables(smtp_url="smtp://me:hidden@127.0.0.1:25?starttls=perhaps")
    email = (await _findings())["email"]
    assert (email.status, email.advice) == (FAIL, "change that variable")
    assert email.detail.startswith("CELERIAC_SMTP_URL=***: the SMTP URL has starttls=perhaps")
    assert "hidden" not in email.detail


@pytest.mark.parametrize(
    "url", ["postgresql://me:hidden@127.0.0.1:1/jobs", "mysql://me:hidden@host/jobs", "sqlite:////dev"]
)
async def test_a_database_that_cannot_be_used(variables: Any, url: str) -> None:
    variables(database_url=url)
    database = (await _findings())["database"]
    assert database.status is FAIL
    assert "CELERIAC_DATABASE_URL" in database.advice
    assert "hidden" not in database.detail


async def test_looking_for_a_database_does_not_make_one(variables: Any, tmp_path: Path) -> None:
    variables(database_url=f"sqlite:///{tmp_path}/not/yet.db")
    assert (await _findings())["database"].status is OK
    assert not (tmp_path / "not").exists()


async def test_files_that_others_can_read_are_a_warning(variables: Any, tmp_path: Path) -> None:
    (tmp_path / "celeriac.db").touch(0o644)
    files = (await _findings())["files"]
    assert (files.status, "celeriac.db" in files.detail) == (WARN, True)
    tmp_path.chmod(0o777)
    assert "others can write to" in (await _findings())["files"].detail


async def test_a_server_of_results_that_is_not_there(variables: Any) -> None:
    variables(result_url="redis://:secret@127.0.0.1:1/0")
    results = (await _findings())["results"]
    assert (results.status, results.detail) == (
        FAIL,
        "redis://127.0.0.1:1/0: the broker cannot be used: Connection refused",
    )


async def test_another_server_on_the_apis_port(variables: Any, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        variables(port=server.sockets[0].getsockname()[1])
        api = (await _findings())["api"]
        assert (api.status, "404" in api.detail) == (WARN, True)
        (tmp_path / "stack.json").write_text(f'{{"api": "http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}}')
        variables(data_dir=tmp_path)
        api = (await _findings())["api"]
    assert (api.status, api.detail.endswith(" answers; it is an API of your own")) == (OK, True)


async def test_a_family_that_is_off_takes_one_row(variables: Any) -> None:
    variables(families_off="email")
    rows = [found.detail for found in await examine() if found.check == "families"]
    assert "the job family 'email' is switched off: take it out of CELERIAC_FAMILIES_OFF" in rows
