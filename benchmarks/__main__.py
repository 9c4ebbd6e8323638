"""`./dev bench [NAME ...] [--json]`: each file of this folder answers one question."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.harness import Bench, machine
from benchmarks.support.environments import Environments, versions
from benchmarks.support.options import Options

_NOT_BENCHMARKS = {"__init__", "__main__", "harness"}


def main() -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_BENCHMARKS)
    arguments = _parser(names).parse_args()
    options = Options(
        quick=arguments.quick,
        rounds=arguments.rounds or (1 if arguments.quick else 3),
        families=frozenset(filter(None, arguments.systems.split(","))),
        pool=arguments.pool,
        environments=Environments(arguments.uv),
    )
    out = sys.stderr if arguments.json else sys.stdout
    print(machine(), file=out)
    for environment in sorted({system.environment for system in options.systems() if system.environment}):
        pins = ", ".join(f"{name} {version}" for name, version in versions(environment).items())
        print(f"{environment}: {pins}", file=out)
    failed = False
    for name in arguments.name or names:
        bench: Bench = importlib.import_module(f"benchmarks.{name}").run(options)
        print(f"\n{bench.as_markdown()}", file=out, flush=True)
        if arguments.json:
            print(json.dumps(bench.as_dict()), flush=True)
        for system, why in bench.failures.items():
            print(f"bench: {bench.bench}: {system} failed: {why}", file=sys.stderr)
        failed = failed or bool(bench.failures)
    return 1 if failed else 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; without it, all")
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON, the last one last")
    parser.add_argument("--quick", action="store_true", help="little of everything, once: to see that it works")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (3)")
    parser.add_argument("--systems", default="", help="compare these only: celeriac,celery,floor, say")
    parser.add_argument("--pool", default="prefork", help="Celery's pool under Celeriac (%(default)s)")
    parser.add_argument("--uv", help=argparse.SUPPRESS)  # the one that ./dev has found
    return parser


if __name__ == "__main__":
    sys.exit(main())
