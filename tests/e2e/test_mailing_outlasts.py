"""A mailing that is paused, resumed and cancelled in the middle, while everything is killed and started again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from celeriac.families.email.demo.sink import MailSink
from tests.support.mailing_api import MailingApi, addresses
from tests.support.running import Running, running
from tests.support.waiting import eventually

RECIPIENTS = 2_000
#: What users are promised: seconds from the request until it has taken effect.
AT_ONCE = 1.0


class TimedSink(MailSink):
    """A mail server that knows when each mail came."""

    def __init__(self) -> None:
        super().__init__()
        self.times = list[float]()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = await super().handle_DATA(server, session, envelope)
        self.times.append(time.monotonic())
        return reply


@asynccontextmanager
async def everything(data_dir: Path, sink: MailSink) -> AsyncGenerator[tuple[Running, MailingApi]]:
    environment = {"CELERIAC_SMTP_URL": sink.url, "CELERIAC_MAIL_FROM": "a@example.com"}
    command = ["-m", "celeriac", "up", "--data-dir", str(data_dir), "--port", "0", "--flower-port", "0"]
    async with running(command, environment=environment, cwd=data_dir) as stack:
        await stack.printed(r"celeriac \| ready in ([\d.]+) s", within=60)
        address = json.loads((data_dir / "stack.json").read_text())["api"]
        async with httpx2.AsyncClient(base_url=address, timeout=60) as client:
            yield stack, MailingApi(client)


async def kill_all(stack: Running) -> None:
    """Kill the parent and all that it has started, the broker too."""
    for pid in all_of(stack.process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await stack.process.wait()


def all_of(parent: int) -> list[int]:
    """A process, and all that it and its children have started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *(pid for child in children for pid in all_of(int(child)))]


async def worker_is_idle(mailings: MailingApi) -> None:
    """Wait until workers have run what was left to them."""
    submitted = await mailings.client.post("/jobs/celeriac.echo", json={"value": 1})
    assert (await mailings.ended(submitted.json()["id"]))["state"] == "succeeded"

    async def look() -> bool:
        return not any(job["state"] in ("queued", "running") for job in await mailings.jobs())

    await eventually(look, "no job runs")


async def steered(mailings: MailingApi, mailing_id: str, action: str) -> float:
    """Do it, and return when it was asked for."""
    asked = time.monotonic()
    answer = await mailings.client.post(f"/email/mailings/{mailing_id}/{action}")
    assert answer.status_code == 200, answer.text
    return asked


@pytest.mark.alone
@pytest.mark.slow
async def test_pause_resume_and_cancel_take_effect_at_once_and_outlast_a_kill_of_everything(tmp_path: Path) -> None:
    async with TimedSink() as sink:
        async with everything(tmp_path, sink) as (stack, mailings):
            mailing_id = await mailings.submit(RECIPIENTS)
            await sink.wait_for(100)
            asked = await steered(mailings, mailing_id, "pause")
            await worker_is_idle(mailings)
            paused_after = sink.times[-1] - asked
            await kill_all(stack)
        paused_at = len(sink.deliveries)
        assert 100 <= paused_at < RECIPIENTS
        async with everything(tmp_path, sink) as (stack, mailings):
            assert (await mailings.show(mailing_id))["state"] == "paused"
            await worker_is_idle(mailings)
            assert len(sink.deliveries) == paused_at
            asked = await steered(mailings, mailing_id, "resume")
            await sink.wait_for(paused_at + 1)
            resumed_after = sink.times[paused_at] - asked
            await sink.wait_for(paused_at + 100)
            asked = await steered(mailings, mailing_id, "cancel")
            await worker_is_idle(mailings)
            cancelled_after = sink.times[-1] - asked
            await kill_all(stack)
        cancelled_at = len(sink.deliveries)
        async with everything(tmp_path, sink) as (_, mailings):
            shown = await mailings.show(mailing_id)
            assert (shown["state"], shown["sent"], shown["failed"]) == ("cancelled", cancelled_at, 0)
            await worker_is_idle(mailings)
    assert len(sink.deliveries) == cancelled_at < RECIPIENTS
    assert sink.duplicates == 0
    assert set(sink.mails_per_recipient()) < addresses(RECIPIENTS)
    print(f"pause {paused_after:.3f} s, resume {resumed_after:.3f} s, cancel {cancelled_after:.3f} s")
    assert max(paused_after, resumed_after, cancelled_after) < AT_ONCE
