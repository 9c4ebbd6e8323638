"""`./dev demo`: a newcomer sees 1,000 mails go from an HTTP request through Redis and Celery into an SMTP server."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from demo.mailing import DemoFailed, Outcome, send_mailing
from demo.sink import MailSink
from demo.stack import running_stack


def main() -> int:
    """Run the demo; the exit code is 0 only if every mail arrived once."""
    options = _parser().parse_args()
    console = Console(stderr=options.json, highlight=False)
    try:
        outcome = asyncio.run(_demo(options.recipients, options.exit, console))
    except KeyboardInterrupt:
        return 130
    except DemoFailed as error:
        console.print("[red]the demo failed:[/]", end=" ")
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    if options.json:
        print(json.dumps(outcome.as_dict()))
    return 0 if outcome.perfect else 1


async def _demo(recipients: int, leave: bool, console: Console) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="celeriac-demo-") as directory:
        async with MailSink() as sink, running_stack(Path(directory), sink.url, console) as stack:
            outcome = await send_mailing(stack.api, sink, recipients, console)
            console.print(outcome.summary())
            if not leave:
                console.print(stack.addresses())
                console.print("Everything keeps running; Ctrl-C stops it.")
                await asyncio.Event().wait()
            return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--recipients", type=_count, default=1000, metavar="N", help="mails to send (default: 1000)")
    parser.add_argument("--exit", action="store_true", help="stop everything at the end")
    parser.add_argument("--json", action="store_true", help="print the outcome as a last line of JSON")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError("between 1 and 1,000,000")
    return number


if __name__ == "__main__":
    sys.exit(main())
