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
from pathlib import Path

from rich.console import Console

from celeriac.core.errors import ConfigurationError
from celeriac.demo import Demo, DemoFailed, Outcome
from celeriac.discovery import guests, present
from celeriac.settings import Settings
from demo.stack import running_stack

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
        outcomes = {name: _run(name, demo(options), options, console) for name, demo in chosen.items()}
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
    parser.add_argument("--exit", action="store_true", help=f"stop everything at the end, as {_ALL} does")
    parser.add_argument("--json", action="store_true", help="print the outcome as a last line of JSON")
    options = parser.parse_args(arguments)
    options.exit |= family == _ALL
    return options


def _run(name: str, demo: Demo, options: argparse.Namespace, console: Console) -> Outcome:
    """Run one demo to its end, and print what came of it."""
    began = time.monotonic()
    try:
        outcome = asyncio.run(_show(demo, console, leave=options.exit))
    except DemoFailed as error:
        outcome = Outcome(ok=False, summary=str(error), seconds=time.monotonic() - began, facts={"error": str(error)})
        console.print(f"[red]the demo of {name} failed:[/]", end=" ")
        console.print(outcome.summary, markup=False, soft_wrap=True)
    if options.json:
        print(json.dumps(outcome.as_dict(name)), flush=True)
    return outcome


async def _show(demo: Demo, console: Console, *, leave: bool) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="celeriac-demo-") as directory:
        async with demo.surroundings() as variables, running_stack(Path(directory), variables, console) as stack:
            outcome = await demo.run(stack.api, console)
            console.print(outcome.summary, style="green" if outcome.ok else "red", soft_wrap=True)
            if not leave:
                console.print(stack.addresses())
                console.print("Everything keeps running; Ctrl-C stops it.")
                await asyncio.Event().wait()
            return outcome


def _refuse(reason: str) -> int:
    sys.stderr.write(f"./dev demo: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
