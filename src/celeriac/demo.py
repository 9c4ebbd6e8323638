"""Shared code for the demos of job families: their outcome, and a live view of a job.

A family names its demo in `JobFamily.demo`, and `./dev demo FAMILY` runs it. A demo needs packages that only a checkout
installs, so nothing else imports this module.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

#: Time without any sign of life from the API after which a demo gives up.
PATIENCE_S = 60.0
_RESUME_AFTER_S = 0.5


class DemoFailed(Exception):
    """The demo could not be completed."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a demo.

    Attributes:
        ok: whether all checks passed.
        summary: the result, in one line for people.
        seconds: the time that the work took.
        facts: further values for `--json`.
    """

    ok: bool
    summary: str
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_dict(self, family: str) -> dict[str, Any]:
        """Return the outcome for `--json`."""
        return {"family": family, "ok": self.ok, **self.facts, "seconds": round(self.seconds, 2)}


class Demo(ABC):
    """A demo: real work on real input, watched through the API and checked at its end."""

    @abstractmethod
    def __init__(self, options: Namespace) -> None:
        """`options` are the parsed options of the command line, including the demo's own."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add the demo's own options, each with a default."""
        return

    @abstractmethod
    def surroundings(self) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Run external services such as a server, and yield environment variables with the stack's settings."""

    @abstractmethod
    async def run(self, api: str, console: Console) -> Outcome:
        """Do the work through the API at the URL `api`, and check the outcome.

        Raises:
            DemoFailed: the demo could not be completed.
        """


def client_of(api: str) -> httpx2.AsyncClient:
    """Make a client of the API with a timeout."""
    return httpx2.AsyncClient(base_url=api, timeout=PATIENCE_S)


async def follow(
    client: httpx2.AsyncClient, job: str, console: Console, *, doing: str, total: int, with_message: bool = False
) -> None:
    """Show a job's progress until it has succeeded. `doing` names the work on `total` items.

    With `with_message`, show what the job says of its progress, such as its rate, in place of numbers.

    Raises:
        DemoFailed: the job did not succeed.
    """
    done_of = TextColumn("{task.fields[says]}", markup=False) if with_message else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), done_of, TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        shown = bar.add_task(doing, total=total, says="")
        async for name, data in _events(client, job, console):
            if name == "progress":
                of = data["total"]  # in the job's own steps, of which an item may take more than one
                done = round(total * data["done"] / of) if of else data["done"]
                bar.update(shown, completed=done, says=data.get("message", ""))
            elif data["state"] == "succeeded":
                bar.update(shown, completed=total)
                return
            elif data["state"] in ("failed", "cancelled", "dead"):
                raise DemoFailed(f"the job {data['state']}: {data.get('error')}")
    raise DemoFailed("the job's events ended before the job did")


async def _events(client: httpx2.AsyncClient, job: str, console: Console) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Yield the job's server-sent events until the server ends the stream. If it breaks, resume it, as browsers do.

    Raises:
        DemoFailed: it was broken for too long.
    """
    name, resume, alive = "", dict[str, str](), time.monotonic()
    while True:
        try:
            async with client.stream("GET", f"/jobs/{job}/events", headers=resume) as response:
                async for line in response.raise_for_status().aiter_lines():
                    alive = time.monotonic()
                    key, _, value = line.partition(": ")
                    if key == "event":
                        name = value
                    elif key == "data":
                        yield name, cast(dict[str, Any], json.loads(value))
                    elif key == "id":
                        resume = {"Last-Event-ID": value}
                return
        except httpx2.HTTPError as error:
            if time.monotonic() - alive > PATIENCE_S:
                raise DemoFailed(f"the job's events cannot be read: {error!r}") from None
            console.print(f"the job's events broke off, and are resumed: {error!r}", markup=False)
        await asyncio.sleep(_RESUME_AFTER_S)
