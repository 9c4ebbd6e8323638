"""How many personalised mails a second reach a mail server, beside the libraries and a floor?

Each way runs in a process of its own, and so does the server, which does as little as it can. All ways but the floor
render the same templates for each recipient. *Celeriac* is the whole path of a mailing's chunks: a ledger in SQLite,
with a claim before each mail and its outcome after it. The *libraries* keep no ledger. They send `EmailMessage`s, as
their documentation shows, or, in the rows *our bytes*, the messages that Celeriac's own builder makes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from benchmarks.harness import Bench
from benchmarks.support.fleet import RunFailed
from benchmarks.support.mail_senders import WAYS
from benchmarks.support.options import Options
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds

_MAILS, _QUICK = 10_000, 300
#: The libraries with `EmailMessage` take long for each mail.
_SLOW_MAILS = 2_000
_LONGEST_S = 300.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench(
        "mail",
        "personalised mails to a minimal server",
        "mails/s",
        better="higher",
        bases=("aiosmtplib, 16 connections", "smtplib, 8 threads", "floor"),
    )
    return await rounds(bench, options, list(WAYS), lambda way: asyncio.to_thread(_measure, way, _mails(way, options)))


def _mails(way: str, options: Options) -> int:
    slow = "smtplib" in way and "our bytes" not in way
    return options.scaled(_SLOW_MAILS if slow else _MAILS, _QUICK)


def _measure(way: str, mails: int) -> Sample:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.support.mail_sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sink:
        assert sink.stdin is not None
        assert sink.stdout is not None
        port = sink.stdout.readline().strip()
        arguments = [sys.executable, "-m", "benchmarks.support.mail_senders", way, port, str(mails)]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        sink.stdin.close()
        taken, recipients = map(int, sink.stdout.readline().split())
    if ended.returncode:
        raise RunFailed(ended.stderr.strip().splitlines()[-1] if ended.stderr else f"exit code {ended.returncode}")
    if (taken, recipients) != (mails, mails):
        raise WrongRun(f"{taken} mails reached {recipients} of {mails} recipients")
    told = json.loads(ended.stdout)
    return Sample(mails / told["seconds"], {"CPU µs for each mail": 1e6 * told["cpu"] / mails})
