"""`celeriac doctor`: checks whether all that a stack needs is there, and whether the running stack works.

Each check tries the real service, gives up after a few seconds, and reports faults as findings instead of raising.
"""

from __future__ import annotations

import asyncio
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celeriac.core.errors import (
    BrokerUnavailable,
    CeleriacError,
    ConfigurationError,
    DatabaseUnavailable,
    ResultTimeout,
)
from celeriac.core.extras import MODULES, absent
from celeriac.core.files import open_to_others, ours_in, writable_for_others
from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.core.spec import Call
from celeriac.discovery import migrations, settings_classes
from celeriac.launch.broker.embedded import server_binary
from celeriac.launch.doctor.guests import check_families
from celeriac.launch.supervision.probes import exchange, reachable_host
from celeriac.settings import DEFAULT_APP, Settings, load_settings, unknown_variables

if TYPE_CHECKING:
    from celeriac.client.client import JobClient
    from celeriac.core.spec import JobSpec
    from celeriac.store.redis.connection import Client

_OLDEST = 7
_BLOCKS, _BLOCK = "stream-node-max-bytes", 256  # a block of a stream: room for the first events of a job
_ECHO = "celeriac.echo"
_PATIENCE_S = 5.0  # for the database to answer, and for a worker to run a job that does nothing


async def examine(data_dir: Path | None = None, app: str | None = None) -> list[Finding]:
    """Run all checks. The findings are in the order in which to read them."""
    findings = [ok("python", f"{platform.python_implementation()} {platform.python_version()}"), *check_variables()]
    try:
        settings = load_settings(data_dir=data_dir, app=app)
        settings.check_exposure()
    except ConfigurationError as error:
        return [*findings, fail("settings", str(error), "change that variable; the other checks did not run")]
    findings += [ok("settings", f"valid; data directory {settings.data_dir.absolute()}"), check_server(settings)]
    application, url, found = check_application(settings)
    findings += found
    findings += check_files(settings)
    broker = [*await check_broker(settings, url), *await check_results(settings)]
    database, families, api = await asyncio.gather(
        check_database(settings), check_families(settings), check_api(settings)
    )
    findings += [*broker, database, *families, api]
    if broker[0].status is Status.OK and application is not None:
        return [*findings, await check_worker(application)]
    if application is None:
        return [*findings, fail("worker", "cannot be asked without the application", "see app")]
    return [*findings, fail("worker", "cannot be asked without a broker", "see broker")]


def check_variables() -> list[Finding]:
    """Warn of environment variables that look like settings but are unknown."""
    return [
        warn("variable", f"{name} is set, and no setting has that name", f"did you mean {nearest}?" if nearest else "")
        for name, nearest in unknown_variables(*settings_classes()).items()
    ]


def check_application(settings: Settings) -> tuple[Any, str, list[Finding]]:
    """Load the application that the settings name. Return it, its broker's URL, and findings unless it is built in."""
    from celeriac import builtin
    from celeriac.application import Celeriac, load_broker
    from celeriac.engine.start.loading import load

    if settings.app == DEFAULT_APP:  # without its job families, which have their own checks
        ours = Celeriac("celeriac", settings=settings)
        builtin.register(ours)
        return ours, settings.broker(), []
    try:
        app, url = load(settings.app), load_broker(settings).url
    except ConfigurationError as error:
        return None, settings.broker(), [fail("app", str(error), "correct CELERIAC_APP, or the application")]
    return app, url, [ok("app", f"{settings.app} can be imported")]


def check_server(settings: Settings) -> Finding:
    """Check that there is a server program for the embedded broker."""
    try:
        return ok("server", f"{server_binary()}")
    except ConfigurationError as error:
        if settings.broker_url is not None:
            return ok("server", "none for an embedded broker, which is not needed")
        return fail("server", "no program for the embedded broker", str(error))


def check_files(settings: Settings) -> list[Finding]:
    """Check that other users can neither read nor change files in the data directory."""
    directory = settings.data_dir.absolute()
    if not directory.exists():
        return []
    if writable_for_others(directory):
        return [warn("files", f"others can write to {directory}", f"chmod go-w {directory}")]
    opened = sorted(str(file.relative_to(directory)) for file in ours_in(directory) if open_to_others(file))
    if opened:
        advice = "chmod go= them, or restart: `celeriac up` and `celeriac beat` do it for their user's files"
        return [warn("files", f"others can read {', '.join(opened[:5])} in {directory}", advice)]
    return [ok("files", f"{directory} is for its owner only")]


async def check_broker(settings: Settings, url: str) -> list[Finding]:
    """Check that the broker answers, persists data, and never evicts it."""
    from celeriac.store.redis import server
    from celeriac.store.redis.connection import connect, deadline, without_secrets
    from celeriac.store.redis.errors import ResponseError

    where = without_secrets(url)
    try:
        client = connect(url, timeout=settings.broker_timeout)
    except ValueError as error:  # the port is not a number, for example
        return [fail("broker", f"{where}: {error}", "correct CELERIAC_BROKER_URL")]
    try:
        async with deadline(settings.broker_timeout):
            await server.ping(client)
            facts = await server.facts(client)
            blocks = await _stream_blocks(client)
    except BrokerUnavailable as error:
        return [fail("broker", f"{where}: {error}", _broker_advice(settings))]
    except ResponseError as error:  # an ACL forbids it, for example
        return [ok("broker", f"{where} answers, but does not show its settings: {error}")]
    finally:
        await client.aclose()
    return [check_version(where, facts), _persistence(facts), _eviction(facts), blocks]


async def check_results(settings: Settings) -> list[Finding]:
    """Check that the result store answers. Return no finding if the broker stores the results."""
    from celeriac.store.redis import server
    from celeriac.store.redis.connection import connect, deadline, without_secrets
    from celeriac.store.redis.errors import ResponseError

    if settings.result_url is None:
        return []
    url = settings.result_url.get_secret_value()
    client = connect(url, timeout=settings.broker_timeout)
    try:
        async with deadline(settings.broker_timeout):
            await server.ping(client)
    except (BrokerUnavailable, ResponseError) as error:
        return [fail("results", f"{without_secrets(url)}: {error}", "start it, or correct CELERIAC_RESULT_URL")]
    finally:
        await client.aclose()
    return [ok("results", f"{without_secrets(url)} answers")]


def check_version(where: str, facts: dict[str, Any]) -> Finding:
    """Check that the server has the commands that workers use."""
    valkey, redis = facts.get("valkey_version"), str(facts.get("redis_version"))
    answers = f"{where} answers, version {valkey or redis}"
    major = redis.partition(".")[0]  # Valkey reports the Redis version with which it is compatible
    if major.isdigit() and int(major) < _OLDEST:
        return fail("broker", answers, f"workers need Redis {_OLDEST}.0 or newer, or Valkey")
    return ok("broker", answers)


async def _stream_blocks(client: Client) -> Finding:
    """Check that each job's events take no more memory than necessary."""
    from celeriac.store.redis import server
    from celeriac.store.redis.errors import ResponseError

    try:
        size = int(await server.setting(client, _BLOCKS) or "")
    except (ResponseError, ValueError) as error:  # managed servers refuse CONFIG
        return ok("memory", f"the server does not show its {_BLOCKS} ({error}); {_BLOCK} saves memory")
    if 0 < size <= _BLOCK:
        return ok("memory", f"{_BLOCKS} {size}")
    return warn(
        "memory",
        f"{_BLOCKS} is {size}: a finished job takes 5.2 KB and not 1.4 KB",
        f"set `{_BLOCKS} {_BLOCK}` there, unless other programs have long streams on it",
    )


def _broker_advice(settings: Settings) -> str:
    if settings.broker_url is not None:
        return "start it, or correct CELERIAC_BROKER_URL"
    return "start one with `celeriac up`, or set CELERIAC_BROKER_URL"


def _persistence(facts: dict[str, Any]) -> Finding:
    if facts.get("aof_enabled"):
        return ok("persistence", "append-only file")
    return warn("persistence", "no append-only file: a crash of the broker loses jobs", "set `appendonly yes` there")


def _eviction(facts: dict[str, Any]) -> Finding:
    policy = facts.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return ok("eviction", "noeviction")
    return warn(
        "eviction", f"{policy}: when memory runs short, jobs are dropped", "set `maxmemory-policy noeviction` there"
    )


async def check_database(settings: Settings) -> Finding:
    """Check that the database answers, and that its tables are up to date."""
    if absent(MODULES["database"]):
        return ok("database", "none: job families with tables need the extra celeriac[database]")
    from celeriac.database.engine import Database
    from celeriac.database.migrations import State
    from celeriac.database.url import parse_database_url

    try:
        url = parse_database_url(settings.database())
        if url.get_backend_name() == "sqlite" and not _exists(url.database):
            return ok("database", f"{url.database}, created at its first use")
        database = Database(settings.database(), lambda: migrations(settings))
    except ConfigurationError as error:
        return fail("database", str(error), "correct CELERIAC_DATABASE_URL")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            states = await database.states()
    except (DatabaseUnavailable, TimeoutError) as error:
        return fail("database", str(error) or f"no answer within {_PATIENCE_S:g} s", "see CELERIAC_DATABASE_URL")
    finally:
        await database.dispose()
    if newer := [history.family for history, state in states if state is State.NEWER]:
        told = f"{database.address}, migrated by a newer version of {', '.join(newer)}"
        return fail("database", told, "install that version, or a newer one")
    names = ", ".join(history.family for history, state in states if state is State.BEHIND)
    state = f"its next use brings it up to date for {names}" if names else "up to date"
    return ok("database", f"{database.address}, {state}")


def _exists(file: str | None) -> bool:
    return file is not None and Path(file).exists()


async def check_api(settings: Settings) -> Finding:
    """Check that the API answers, at the address of the stack that runs on the data directory, else of the settings."""
    of_stack = _stack_address(settings)
    host, port = of_stack or (reachable_host(settings.host), settings.port)
    request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reply = await exchange(host, port, request)
    where = f"http://{host}:{port}"
    match reply.split(maxsplit=2):
        case [_, b"200", *_]:
            return ok("api", f"{where} answers")
        case [_, b"503", *_]:
            return fail("api", f"{where} answers that it is not ready", "see broker")
        case [_, b"404", *_] if of_stack:  # ours has that page: `celeriac up --api` serves another
            return ok("api", f"{where} answers; it is an API of your own")
        case [protocol, status, *_] if protocol.startswith(b"HTTP/"):
            return warn(
                "api",
                f"{where}/health/ready has status {status.decode()}",
                "an API of your own (`--api`) need not have that page; else it may be another server's port",
            )
        case _:
            report = fail if settings.app == DEFAULT_APP else warn  # a user's application need not have an API
            return report("api", f"no server answers on {where}", "start it with `celeriac up` or `celeriac api`")


def _stack_address(settings: Settings) -> tuple[str, int] | None:
    """Return the address of the API of the stack that runs on the data directory; None if none runs."""
    try:
        addresses: dict[str, str] = json.loads((settings.data_dir / "stack.json").read_text())
        api = urlsplit(addresses["api"])
        return str(api.hostname), int(api.port or 80)
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def check_worker(app: Any) -> Finding:
    """Check that a worker of the application answers, and runs a job that does nothing.

    Only the built-in application has such a job. The doctor runs no jobs of a user's application.
    """
    from celeriac.engine.ping import answering_worker, runs_task

    try:
        name = await asyncio.to_thread(answering_worker, app, within=_PATIENCE_S)
    except BrokerUnavailable as error:
        return fail("worker", str(error), "see broker")
    if name is None:
        return fail(
            "worker",
            f"none has answered within {_PATIENCE_S:g} s",
            "start one with `celeriac up` or `celeriac worker`, or wait if all are busy",
        )
    answered = f"{name} answers"
    spec: JobSpec | None = getattr(app, "specs", {}).get(_ECHO)
    if spec is None:
        return ok("worker", answered)
    if not await asyncio.to_thread(runs_task, app, name, _ECHO, within=_PATIENCE_S):
        return fail("worker", f"{answered}, and serves another application", "name it: --app module:attribute")
    client: JobClient = app.broker_client  # also if the application runs jobs where it enqueues them
    try:
        return await _run(client, Call(spec, spec.encode((), {"value": "doctor"})), answered)
    except CeleriacError as error:
        return fail("worker", f"{answered}, and {_ECHO} has failed: {error}", "see the worker's log")
    finally:
        await client.aclose()


async def _run(client: JobClient, call: Call[Any], answered: str) -> Finding:
    """Run a job that leaves no trace in the list of jobs."""
    job_id = await client.enqueue(call)
    try:
        await client.result(job_id, timeout=_PATIENCE_S)
    except ResultTimeout:
        await client.cancel(job_id)  # else the next worker that starts would run it
        return fail(
            "worker",
            f"{answered}, but none has run {_ECHO} within {_PATIENCE_S:g} s",
            "start one that takes from that job's queue, or wait if all are busy",
        )
    finally:
        await client.forget(job_id)
    return ok("worker", f"{answered}, and has run {_ECHO}")
