"""Ways to send a mailing, each in a process of its own: `python -m benchmarks.support.mail_senders WAY PORT MAILS`.

All of them render the same templates, but for the floor, which sends bytes that were made before. Prints the seconds
that the sending took, and the CPU seconds of this process in them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import smtplib
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import aiosmtplib
import uvloop

from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily
from celeriac.families.email.jobs import CHUNK
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, OpenRecipient, Recipient
from celeriac.families.email.prepare import Prepared, Preparer
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import SmtpServer
from celeriac.families.email.templates import MailTemplates

_CONNECTIONS = 16
_THREADS = 8
_BATCH = 20
_SENDER = "news@example.com"
Way = Callable[[int, int], Awaitable[Callable[[], Awaitable[None]]]]
"""Gets ready to send so many mails to a port, and returns what sends them."""

_MAILING = Mailing(
    id="bench",
    sender="News <news@example.com>",
    subject="Your order {{ order }}, {{ name }}",
    text="Dear {{ name }},\n\nyour order {{ order }} is on its way.\n",
    html="<p>Dear <b>{{ name }}</b>,</p><p>your order {{ order }} is on its way.</p>",
)


def _recipient(number: int) -> Recipient:
    return Recipient(number, f"customer{number}@example.com", {"name": f"Customer {number}", "order": str(number)})


def _open(number: int) -> OpenRecipient:
    one = _recipient(number)
    return OpenRecipient(number, one.address, dict(one.variables), 0, None, 0)


def _batches(mails: int) -> Iterator[list[OpenRecipient]]:
    for first in range(1, mails + 1, _BATCH):
        yield [_open(number) for number in range(first, min(first + _BATCH, mails + 1))]


def _content(prepared: Prepared) -> bytes:
    return cast(bytes, prepared.content)


async def celeriac(port: int, mails: int) -> Callable[[], Awaitable[None]]:
    """The whole path: claims and outcomes in the ledger, chunks of 100, several connections."""
    folder = TemporaryDirectory(prefix="celeriac-bench-")
    database = Database(f"sqlite:///{Path(folder.name) / 'ledger.db'}", lambda: [EmailFamily.migrations()])
    ledger = Ledger(database)
    await ledger.create(_MAILING, map(_recipient, range(1, mails + 1)))
    ranges = iter(await ledger.open_ranges(_MAILING.id, CHUNK))
    how = Sending()

    async def work() -> None:
        for first, last in ranges:
            async with SmtpSession(_server(port)) as session:
                await send_chunk(ledger, _MAILING, first, last, session, how)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(work())
        assert (await ledger.counts(_MAILING.id)).sent == mails
        await database.dispose()
        folder.cleanup()

    return run


Maker = Callable[[], Callable[[list[OpenRecipient]], list[Prepared]]]
"""Makes the maker of one worker's messages."""


def our_bytes() -> Callable[[list[OpenRecipient]], list[Prepared]]:
    """Messages as Celeriac builds them."""
    preparer = Preparer(_MAILING, seconds=3600)

    def make(batch: list[OpenRecipient]) -> list[Prepared]:
        prepared = list[Prepared]()
        preparer._prepare_into(prepared, batch)  # pyright: ignore[reportPrivateUsage]  # in this thread
        return prepared

    return make


def email_messages() -> Callable[[list[OpenRecipient]], list[Prepared]]:
    """Messages of the standard library, from the same templates."""
    templates = MailTemplates(subject=_MAILING.subject, text=_MAILING.text, html=_MAILING.html)

    def make(batch: list[OpenRecipient]) -> list[Prepared]:
        return [Prepared(one, _SENDER, one.address, False, "", _email_message(templates, one)) for one in batch]

    return make


def _email_message(templates: MailTemplates, recipient: OpenRecipient) -> bytes:
    rendered = templates.render({**recipient.variables, "email": recipient.address})
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = _MAILING.sender, recipient.address, rendered.subject
    message["Date"], message["Message-ID"] = format_datetime(datetime.now(UTC)), f"<{recipient.position}@example.com>"
    message.set_content(rendered.text or "")
    message.add_alternative(rendered.html or "", subtype="html")
    return message.as_bytes(policy=SMTP_POLICY)


def with_aiosmtplib(maker: Maker) -> Way:
    """A pool of connections of aiosmtplib."""

    async def prepared(port: int, mails: int) -> Callable[[], Awaitable[None]]:
        batches = _batches(mails)

        async def work() -> None:
            make = maker()
            async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
                for batch in batches:
                    for one in make(batch):
                        await client.sendmail(_SENDER, [one.to], _content(one))

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(_CONNECTIONS):
                    group.create_task(work())

        return run

    return prepared


def with_smtplib(maker: Maker) -> Way:
    """smtplib in threads."""

    async def prepared(port: int, mails: int) -> Callable[[], Awaitable[None]]:
        lock, batches = threading.Lock(), _batches(mails)

        def following() -> list[OpenRecipient] | None:
            with lock:
                return next(batches, None)

        def work() -> None:
            make = maker()
            with smtplib.SMTP("127.0.0.1", port) as client:
                while batch := following():
                    for one in make(batch):
                        client.sendmail(_SENDER, [one.to], _content(one))

        async def run() -> None:
            await asyncio.gather(*(asyncio.to_thread(work) for _ in range(_THREADS)))

        return run

    return prepared


async def floor(port: int, mails: int) -> Callable[[], Awaitable[None]]:
    """Bytes that were made before; the commands of the next mail are in one packet with the end of the one before."""
    preparer = Preparer(_MAILING, seconds=3600)
    envelopes, contents = list[bytes](), list[bytes]()
    for batch in _batches(mails):
        for prepared in await preparer.prepare(batch):
            envelopes.append(f"MAIL FROM:<news@example.com>\r\nRCPT TO:<{prepared.to}>\r\nDATA\r\n".encode())
            contents.append(_content(prepared) + b".\r\n")
    each = -(-mails // _CONNECTIONS)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ends = list[asyncio.Future[None]]()
        for first in range(0, mails, each):
            mine, following = contents[first : first + each], [*envelopes[first + 1 : first + each], b"QUIT\r\n"]
            packets = [b"EHLO bench.test\r\n", envelopes[first], *map(bytes.__add__, mine, following)]
            ends.append(loop.create_future())
            await loop.create_connection(lambda p=packets, e=ends[-1]: _Floor(p, e), "127.0.0.1", port)
        await asyncio.gather(*ends)

    return run


class _Floor(asyncio.Protocol):
    """Sends a packet whenever the server has answered the one before."""

    def __init__(self, packets: list[bytes], end: asyncio.Future[None]) -> None:
        self._packets = iter(packets)
        self._end = end
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if not self._heard.endswith((b"220 sink.test\r\n", b"250 SIZE 10000000\r\n", b"354 go on\r\n")):
            if self._heard.endswith(b"221 bye\r\n"):
                self._transport.close()
                self._end.set_result(None)
            return
        self._heard = b""
        self._transport.write(next(self._packets))


def _server(port: int) -> SmtpServer:
    return SmtpServer(host="127.0.0.1", port=port, starttls=False, ehlo="bench.test")


WAYS: dict[str, Way] = {
    "celeriac": celeriac,
    "aiosmtplib, 16 connections": with_aiosmtplib(email_messages),
    "aiosmtplib, our bytes": with_aiosmtplib(our_bytes),
    "smtplib, 8 threads": with_smtplib(email_messages),
    "smtplib, our bytes": with_smtplib(our_bytes),
    "floor": floor,
}


async def _main(way: str, port: int, mails: int) -> None:
    run = await WAYS[way](port, mails)
    gc.collect()
    gc.freeze()  # as a worker does when it starts
    began, busy = time.perf_counter(), time.process_time()
    await run()
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}))


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
