"""Sends one mailing through the HTTP API and follows it to its end."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.sink import MailSink

_SUBJECT = "Your order {{ order }}, {{ name }}"
_TEXT = "Dear {{ name }},\n\nyour order {{ order }} is on its way.\n"
_HTML = "<p>Dear <b>{{ name }}</b>,</p><p>your order {{ order }} is on its way.</p>"

#: Seconds without any sign of life from the API after which the demo gives up.
_PATIENCE = 60.0


class DemoFailed(Exception):
    """The demo could not be carried to its end."""


@dataclass(frozen=True)
class Outcome:
    """What came of the mailing, as the SMTP server counted it."""

    job: str
    recipients: int
    delivered: int
    failed: int
    duplicates: int
    seconds: float

    @property
    def perfect(self) -> bool:
        """Whether every recipient got the mail, once."""
        return self.delivered == self.recipients and not self.failed and not self.duplicates

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "seconds": round(self.seconds, 2)}

    def summary(self) -> str:
        """For people."""
        colour = "green" if self.perfect else "red"
        return (
            f"[{colour}]{self.delivered:,} of {self.recipients:,} mails delivered[/] in {self.seconds:.1f} s, "
            f"{self.failed} failed, {self.duplicates} duplicates (counted by the SMTP server)"
        )


async def send_mailing(api: str, sink: MailSink, recipients: int, console: Console) -> Outcome:
    """Upload a CSV of `recipients`, watch the job's events, and compare with what the mail server got."""
    addresses, table = _recipients(recipients)
    async with httpx2.AsyncClient(base_url=api, timeout=_PATIENCE) as client:
        began = time.monotonic()
        job = await _submit(client, table)
        console.print(f"POST /email/mailings → 202, job {job}")
        await _follow(client, job, recipients, console)
        seconds = time.monotonic() - began
    received = sink.mails_per_recipient()
    delivered = sum(1 for address in addresses if received.get(address))
    return Outcome(
        job=job,
        recipients=recipients,
        delivered=delivered,
        failed=recipients - delivered,
        duplicates=sum(received.values()) - len(received),
        seconds=seconds,
    )


def _recipients(count: int) -> tuple[list[str], str]:
    addresses = [f"customer{number}@celeriac.example" for number in range(1, count + 1)]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["email", "name", "order"])
    writer.writerows((address, f"Customer {n}", 1000 + n) for n, address in enumerate(addresses, 1))
    return addresses, table.getvalue()


async def _submit(client: httpx2.AsyncClient, table: str) -> str:
    response = await client.post(
        "/email/mailings",
        data={"subject": _SUBJECT, "text": _TEXT, "html": _HTML},
        files={"recipients": ("recipients.csv", table, "text/csv")},
    )
    if response.status_code != 202:
        raise DemoFailed(f"the API answered {response.status_code}: {response.text}")
    return str(response.json()["id"])


async def _follow(client: httpx2.AsyncClient, job: str, recipients: int, console: Console) -> None:
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        sent = bar.add_task("sending", total=recipients)
        async for name, data in _events(client, job):
            if name == "progress":
                bar.update(sent, completed=data["done"])
            elif data["state"] == "succeeded":
                bar.update(sent, completed=recipients)
            elif data["state"] in ("failed", "cancelled", "dead"):
                raise DemoFailed(f"the job {data['state']}: {data.get('error')}")


async def _events(client: httpx2.AsyncClient, job: str) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """The job's server-sent events, until the server ends the stream."""
    name = ""
    async with client.stream("GET", f"/jobs/{job}/events") as response:
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)
