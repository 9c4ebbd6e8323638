"""Demo of bulk mail: uploads a CSV file to the HTTP API, and counts the mails that a real SMTP server receives."""

from __future__ import annotations

import csv
import io
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import httpx2
from rich.console import Console

from celeriac.demo import Demo, DemoFailed, Outcome, client_of, follow
from celeriac.families.email.demo.sink import MailSink

_SUBJECT = "Your order {{ order }}, {{ name }}"
_TEXT = "Dear {{ name }},\n\nyour order {{ order }} is on its way.\n"
_HTML = "<p>Dear <b>{{ name }}</b>,</p><p>your order {{ order }} is on its way.</p>"


class EmailDemo(Demo):
    """A demo that sends one mailing, and compares its recipients with those that the mail server saw."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--recipients", type=_count, default=1000, metavar="N", help="mails to send (default: 1000)"
        )

    def __init__(self, options: Namespace) -> None:
        self._recipients: int = options.recipients
        self._sink = MailSink()

    @asynccontextmanager
    async def surroundings(self) -> AsyncGenerator[Mapping[str, str]]:
        async with self._sink as sink:
            yield {"CELERIAC_SMTP_URL": sink.url, "CELERIAC_MAIL_FROM": "Celeriac demo <demo@celeriac.example>"}

    async def run(self, api: str, console: Console) -> Outcome:
        addresses, table = _table(self._recipients)
        async with client_of(api) as client:
            began = time.monotonic()
            job = await _submit(client, table)
            console.print(f"POST /email/mailings → 202, job {job}")
            await follow(client, job, console, doing="sending", total=self._recipients)
            seconds = time.monotonic() - began
        return self._outcome(job, addresses, seconds)

    def _outcome(self, job: str, addresses: list[str], seconds: float) -> Outcome:
        received = self._sink.mails_per_recipient()
        delivered = sum(1 for address in addresses if received.get(address))
        failed, duplicates = len(addresses) - delivered, received.total() - len(received)
        return Outcome(
            ok=not failed and not duplicates and len(received) == delivered,
            summary=(
                f"{delivered:,} of {len(addresses):,} mails delivered in {seconds:.1f} s, "
                f"{failed} failed, {duplicates} duplicates (counted by the SMTP server)"
            ),
            seconds=seconds,
            facts={
                "job": job,
                "recipients": len(addresses),
                "delivered": delivered,
                "failed": failed,
                "duplicates": duplicates,
            },
        )


def _table(count: int) -> tuple[list[str], str]:
    """Make `count` addresses, and the CSV file that contains them."""
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


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000_000:
        raise ArgumentTypeError("between 1 and 1,000,000")
    return number
