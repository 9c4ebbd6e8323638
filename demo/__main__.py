"""`./dev demo`: a job family at work, from an HTTP request through Redis and Celery to what it does outside."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
from rich.console import Console

from celeriac.core.errors import ConfigurationError
from celeriac.demo import Demo, DemoFailed, Outcome
from celeriac.discovery import guests, present
from celeriac.settings import Settings
from demo.stack import Ports, Stack, running_stack

_DEFAULT = "email"
_ALL = "all"


def main(arguments: Sequence[str]) -> int:
    """Run the demo of one family, or of each; the exit code is 0 only if everything was checked and right."""
    for name in [name for name in os.environ if name.startswith("CELERIAC_")]:
        del os.environ[name]  # a demo has settings of its own
    try:
        demos = _demos()
    except ConfigurationError as error:
        return _refuse(str(error))
    family, *rest = arguments if arguments and not arguments[0].startswith("-") else (_DEFAULT, *arguments)
    family = {command: name for name, command in _commands(demos).items()}.get(family, family)
    if family != _ALL and family not in demos:
        absence = next((guest.absence for guest in guests(Settings()) if guest.name == family), "")
        return _refuse(
            absence or f"there is no demo of {family!r}; there are {', '.join([*_commands(demos).values(), _ALL])}"
        )
    options = _options(family, demos, rest)
    console = Console(stderr=options.json, highlight=False)
    chosen = demos if family == _ALL else {family: demos[family]}
    try:
        outcomes = asyncio.run(_show({name: demo(options) for name, demo in chosen.items()}, options, console))
    except KeyboardInterrupt:
        return 130
    ok = all(outcome.ok for outcome in outcomes.values())
    if family == _ALL and options.json:
        seconds = round(sum(outcome.seconds for outcome in outcomes.values()), 2)
        print(json.dumps({"family": _ALL, "ok": ok, "families": list(outcomes), "seconds": seconds}))
    return 0 if ok else 1


def _demos() -> Mapping[str, type[Demo]]:
    """The demos of the families that are there."""
    return {kind.name: demo for kind in present(Settings()) if (demo := kind.demo()) is not None}


def _commands(demos: Mapping[str, type[Demo]]) -> Mapping[str, str]:
    """What users call each demo: by its group of commands. The family's name is understood, too."""
    return {kind.name: kind.command or kind.name for kind in present(Settings()) if kind.name in demos}


def _options(family: str, demos: Mapping[str, type[Demo]], arguments: Sequence[str]) -> argparse.Namespace:
    commands = _commands(demos)
    parser = argparse.ArgumentParser(
        prog=f"./dev demo {commands.get(family, family)}",
        description=__doc__,
        usage=f"./dev demo [{'|'.join([*commands.values(), _ALL])}] [OPTION...]",
        epilog=f"Without a name it is the demo of {_DEFAULT}; {_ALL} runs each once.",
    )
    for name in demos if family == _ALL else [family]:
        demos[name].add_options(parser)
    for option, usual, what in (("--port", 8000, "API"), ("--flower-port", 5555, "Flower")):
        told = f"where the {what} listens; 0 picks a free port (default: {usual}, if it is free)"
        parser.add_argument(option, type=int, metavar="N", help=told)
    parser.add_argument("--exit", action="store_true", help=f"stop everything at the end, as {_ALL} does")
    parser.add_argument("--json", action="store_true", help="print the outcome as a last line of JSON")
    options = parser.parse_args(arguments)
    options.exit |= family == _ALL
    return options


class _Told:
    """The outcomes of demos, each of which is printed as soon as it is known."""

    def __init__(self, console: Console, *, json: bool) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.has_failed = False
        self._console, self._json, self._began = console, json, time.monotonic()

    def begin(self) -> None:
        self._began = time.monotonic()

    def outcome(self, name: str, outcome: Outcome) -> None:
        self._console.print(outcome.summary, style="green" if outcome.ok else "red", soft_wrap=True)
        self._note(name, outcome)

    def failure(self, name: str, why: str) -> None:
        self.has_failed = True
        self._console.print(f"[red]the demo of {name} failed:[/]", end=" ")
        self._console.print(why, markup=False, soft_wrap=True)
        took = time.monotonic() - self._began
        self._note(name, Outcome(ok=False, summary=why, seconds=took, facts={"error": why}))

    def _note(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome
        if self._json:
            print(json.dumps(outcome.as_dict(name)), flush=True)


async def _show(demos: Mapping[str, Demo], options: argparse.Namespace, console: Console) -> Mapping[str, Outcome]:
    """Run demos one after another on one stack, and return what came of each."""
    told = _Told(console, json=options.json)
    async with AsyncExitStack() as surroundings:
        variables: dict[str, str] = {}
        for name, demo in demos.items():
            try:
                variables |= await surroundings.enter_async_context(demo.surroundings())
            except DemoFailed as error:
                told.failure(name, str(error))
        if prepared := {name: demo for name, demo in demos.items() if name not in told.outcomes}:
            directory = Path(surroundings.enter_context(tempfile.TemporaryDirectory(prefix="celeriac-demo-")))
            try:
                ports = Ports(options.port, options.flower_port)
                async with running_stack(directory, variables, ports, console) as stack:
                    await _run(prepared, stack, told, console)
                    if not (options.exit or told.has_failed):
                        console.print(stack.addresses())
                        console.print("Everything keeps running; Ctrl-C stops it.")
                        await asyncio.Event().wait()
            except DemoFailed as error:  # it does not start
                for name in prepared:
                    told.failure(name, str(error))
    return told.outcomes


async def _run(demos: Mapping[str, Demo], stack: Stack, told: _Told, console: Console) -> None:
    for name, demo in demos.items():
        told.begin()
        try:
            told.outcome(name, await demo.run(stack.api, console))
        except DemoFailed as error:
            told.failure(name, f"{error}\n{stack.tail()}")
        except httpx2.HTTPError as error:
            told.failure(name, f"the API did not answer: {error!r}\n{stack.tail()}")


def _refuse(reason: str) -> int:
    sys.stderr.write(f"./dev demo: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
