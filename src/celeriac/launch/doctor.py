"""`celeriac doctor`: whether everything a stack needs is there, and whether the running one works.

Every check looks at the real thing, gives up after a few seconds, and never raises for what it may find.
"""

from __future__ import annotations

import asyncio
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis.exceptions import ResponseError

from celeriac.core.errors import (
    BrokerUnavailable,
    CeleriacError,
    ConfigurationError,
    DatabaseUnavailable,
    MailServerUnavailable,
    ResultTimeout,
)
from celeriac.launch.embedded import server_binary
from celeriac.launch.findings import Finding, Status, fail, ok, warn
from celeriac.launch.probes import exchange, reachable_host
from celeriac.settings import Settings, load_settings

if TYPE_CHECKING:
    from celeriac.client.client import JobClient
    from celeriac.core.spec import Call

_PATIENCE = 5.0  # seconds for a mail server to greet, and for a worker to run a job that does nothing


async def examine(data_dir: Path | None = None) -> list[Finding]:
    """Look at everything; the findings come in the order in which they should be read."""
    findings = [ok("python", f"{platform.python_implementation()} {platform.python_version()}")]
    try:
        settings = load_settings(data_dir=data_dir)
        settings.check_exposure()
    except ConfigurationError as error:
        return [*findings, fail("settings", str(error), "change that variable; nothing else was looked at")]
    findings += [ok("settings", f"valid; data directory {settings.data_dir.absolute()}"), check_server(settings)]
    broker = await check_broker(settings)
    others = await asyncio.gather(check_database(settings), check_mail(settings), check_api(settings))
    findings += [*broker, *others]
    if broker[0].status is Status.OK:
        return [*findings, await check_worker(settings)]
    return [*findings, fail("worker", "cannot be asked without a broker", "see broker")]


def check_server(settings: Settings) -> Finding:
    """Whether the embedded broker has a program to run."""
    try:
        return ok("server", f"{server_binary()}")
    except ConfigurationError as error:
        if settings.broker_url is not None:
            return ok("server", "none for an embedded broker, and none is needed")
        return fail("server", "no program for the embedded broker", str(error))


async def check_broker(settings: Settings) -> list[Finding]:
    """Whether the broker answers, keeps what it is given, and never evicts it."""
    from celeriac.store.connection import connect, deadline

    where = _without_secrets(settings.broker())
    try:
        client: Any = connect(settings.broker(), timeout=settings.broker_timeout)
    except ValueError as error:  # a port that is no number, say
        return [fail("broker", f"{where}: {error}", "correct CELERIAC_BROKER_URL")]
    try:
        async with deadline(settings.broker_timeout):
            await client.ping()
            facts: dict[str, Any] = await client.info()
    except BrokerUnavailable as error:
        return [fail("broker", f"{where}: {error}", _broker_advice(settings))]
    except ResponseError as error:  # an ACL, say
        return [ok("broker", f"{where} answers, but tells nothing of itself: {error}")]
    finally:
        await client.aclose()
    version = facts.get("valkey_version") or facts.get("redis_version")
    return [ok("broker", f"{where} answers, version {version}"), _persistence(facts), _eviction(facts)]


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
    """Whether the database answers."""
    from celeriac.database.engine import Database
    from celeriac.database.migrations import HEAD, current_revision
    from celeriac.database.url import parse_database_url

    try:
        url = parse_database_url(settings.database())
        if url.get_backend_name() == "sqlite" and not _exists(url.database):
            return ok("database", f"{url.database}, made when it is needed")
        database = Database(settings.database())
    except ConfigurationError as error:
        return fail("database", str(error), "correct CELERIAC_DATABASE_URL")
    try:
        async with asyncio.timeout(_PATIENCE):
            revision = await database.read(current_revision)
    except (DatabaseUnavailable, TimeoutError) as error:
        return fail("database", str(error) or f"no answer within {_PATIENCE:g} s", "see CELERIAC_DATABASE_URL")
    finally:
        await database.dispose()
    state = {None: "empty", HEAD: "up to date"}.get(revision, f"at revision {revision}")
    return ok("database", f"{database!r}, {state}")


def _exists(file: str | None) -> bool:
    return file is not None and Path(file).exists()


async def check_mail(settings: Settings) -> Finding:
    """Whether the mail server greets us, and takes our login."""
    from celeriac.jobs.email.smtp import SmtpSession
    from celeriac.jobs.email.smtp_url import parse_smtp_url

    if settings.smtp_url is None:
        return warn("mail", "no mail server is set", "set CELERIAC_SMTP_URL if you want to send mail")
    try:
        server = parse_smtp_url(settings.smtp_url.get_secret_value())
        async with asyncio.timeout(_PATIENCE), SmtpSession(server) as session:
            await session.connect()
    except ConfigurationError as error:
        return fail("mail", str(error), "correct CELERIAC_SMTP_URL")
    except MailServerUnavailable as error:
        return fail("mail", str(error), "start it, or correct CELERIAC_SMTP_URL")
    except TimeoutError:
        return fail("mail", f"no greeting within {_PATIENCE:g} s", "start it, or correct CELERIAC_SMTP_URL")
    return ok("mail", f"{server} answers")


async def check_api(settings: Settings) -> Finding:
    """Whether the API answers: the one of the stack that runs on the data directory, or else where it should be."""
    host, port = _api_address(settings)
    request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reply = await exchange(host, port, request)
    where = f"http://{host}:{port}"
    match reply.split(maxsplit=2):
        case [_, b"200", *_]:
            return ok("api", f"{where} answers")
        case [_, b"503", *_]:
            return fail("api", f"{where} answers that it is not ready", "see broker")
        case [protocol, status, *_] if protocol.startswith(b"HTTP/"):
            return warn("api", f"{where}/health/ready has status {status.decode()}", "is it another server's port?")
        case _:
            return fail("api", f"nobody answers on {where}", "start it with `celeriac up` or `celeriac api`")


def _api_address(settings: Settings) -> tuple[str, int]:
    try:
        addresses: dict[str, str] = json.loads((settings.data_dir / "stack.json").read_text())
        api = urlsplit(addresses["api"])
        return str(api.hostname), int(api.port or 80)
    except (OSError, ValueError, KeyError, TypeError):
        return reachable_host(settings.host), settings.port


async def check_worker(settings: Settings) -> Finding:
    """Whether a worker runs a job that does nothing."""
    from celeriac.application import Celeriac

    app = Celeriac("celeriac", settings=settings)
    try:
        return await _run(app.client, app.echo.call(value="doctor"))
    except CeleriacError as error:
        return fail("worker", f"celeriac.echo: {error}", "see the worker's log")
    finally:
        await app.client.aclose()


async def _run(client: JobClient, call: Call[Any]) -> Finding:
    job_id = await client.enqueue(call)
    try:
        await client.result(job_id, timeout=_PATIENCE)
    except ResultTimeout:
        await client.cancel(job_id)  # it would be run by the next worker that starts
        return fail(
            "worker",
            f"no worker has run celeriac.echo within {_PATIENCE:g} s",
            "start one with `celeriac up` or `celeriac worker`, or wait if all are busy",
        )
    return ok("worker", "has run celeriac.echo")


def _without_secrets(url: str) -> str:
    """A broker URL without user, password and query, in which redis-py takes a password too."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
