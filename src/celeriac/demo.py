"""What the demos of job families share: the outcome they report, and a live view of a job.

A family names its demo in `JobFamily.demo`, and `./dev demo FAMILY` runs it. A demo needs packages that only a checkout
installs, so nothing else imports this module.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

#: Seconds without any sign of life from the API after which a demo gives up.
PATIENCE = 60.0


class DemoFailed(Exception):
    """The demo could not be carried to its end."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a demo.

    Attributes:
        ok: whether everything was checked and right.
        summary: what was seen, in one line for people.
        seconds: how long the work took.
        facts: what `--json` prints beside that.
    """

    ok: bool
    summary: str
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_dict(self, family: str) -> dict[str, Any]:
        """For `--json`."""
        return {"family": family, "ok": self.ok, **self.facts, "seconds": round(self.seconds, 2)}


class Demo(ABC):
    """Real work on real input, watched through the API and checked at its end."""

    @abstractmethod
    def __init__(self, options: Namespace) -> None:
        """`options` are those of the command line, with the demo's own among them."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add the demo's own options, each with a default."""
        return

    @abstractmethod
    def surroundings(self) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Run what the stack needs beside itself, a server say. Gives the stack's settings as environment variables."""

    @abstractmethod
    async def run(self, api: str, console: Console) -> Outcome:
        """Do the work through the API at the URL `api`, and check what came of it.

        Raises:
            DemoFailed: it could not be carried to its end.
        """


def client_of(api: str) -> httpx2.AsyncClient:
    """A client of the API that does not wait for ever."""
    return httpx2.AsyncClient(base_url=api, timeout=PATIENCE)


async def follow(client: httpx2.AsyncClient, job: str, console: Console, *, doing: str, total: int) -> None:
    """Show a job's progress, `doing` so many things, until it has succeeded.

    Raises:
        DemoFailed: it has ended in another way.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        shown = bar.add_task(doing, total=total)
        async for name, data in _events(client, job):
            if name == "progress":
                bar.update(shown, completed=data["done"])
            elif data["state"] == "succeeded":
                bar.update(shown, completed=total)
                return
            elif data["state"] in ("failed", "cancelled", "dead"):
                raise DemoFailed(f"the job {data['state']}: {data.get('error')}")
    raise DemoFailed("the job's events ended before the job did")


async def _events(client: httpx2.AsyncClient, job: str) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """The job's server-sent events, until the server ends the stream."""
    name = ""
    async with client.stream("GET", f"/jobs/{job}/events") as response:
        async for line in response.aiter_lines():
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                yield name, cast(dict[str, Any], json.loads(value))
