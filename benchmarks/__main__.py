"""Runs `./dev bench [NAME ...]`. Each file of this folder answers one question. `report` writes the page of answers."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.harness import Bench, machine
from benchmarks.support.environments import HOME, ROOT, Environments, versions
from benchmarks.support.options import Options
from benchmarks.support.page import Page, settings_table
from benchmarks.support.systems import POOLS, every_system

_NOT_BENCHMARKS = {"__init__", "__main__", "harness"}
_REPORT = "report"
_PAGE = ROOT / "docs" / "explanation" / "performance.md"


def main(argv: list[str] | None = None) -> int:
    """Measure, and return the exit code: 1 if a system could not be measured."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_BENCHMARKS)
    parser = _parser(names)
    arguments = parser.parse_args(argv)
    report = arguments.name[:1] == [_REPORT]
    chosen = arguments.name[report:] or names
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    options = _options(parser, arguments)
    page = Page(arguments.page) if report else None
    out = sys.stderr if arguments.json else sys.stdout
    print("\n".join(_surroundings(options)), file=out)
    if page:
        page.show("machine", "  \n".join(_surroundings(options)))
        page.show("systems", settings_table(options.systems()))
    benches = [_measure(name, options, page, arguments.json) for name in chosen]
    if page:
        page.plot(benches)
    return 1 if any(any(bench.failures.values()) for bench in benches) else 0


def _options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    if sys.platform != "linux":
        parser.error("the benchmarks need Linux: they ask /proc what processes use")
    chosen: str = arguments.systems
    families = frozenset(family for family in chosen.split(",") if family)
    known = sorted({system.family for system in every_system(arguments.pool)})
    if unknown := families - set(known):
        parser.error(f"there is no system {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    rounds = (1 if arguments.quick else 3) if arguments.rounds is None else arguments.rounds
    if rounds < 1:
        parser.error("give --rounds 1 or more")
    environments = Environments(arguments.home)
    if arguments.size < 1:
        parser.error("give --size 1 or more")
    return Options(arguments.quick, rounds, families, arguments.pool, size=arguments.size, environments=environments)


def _measure(name: str, options: Options, page: Page | None, as_json: bool) -> Bench:
    bench: Bench = importlib.import_module(f"benchmarks.{name}").run(options)
    print(f"\n{bench.as_markdown()}", file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print(json.dumps(bench.as_dict()), flush=True)
    if page:
        page.show(name, bench.table())
    for row, failures in bench.failures.items():
        for why in dict.fromkeys(failures):
            print(f"bench: {name}: {row} failed: {why}", file=sys.stderr)
    return bench


def _surroundings(options: Options) -> list[str]:
    """Describe the machine, and the versions of the compared systems."""
    lines = [machine()]
    for name in sorted({system.environment for system in options.systems() if system.environment}):
        lines.append(f"{name}: {', '.join(f'{package} {version}' for package, version in versions(name).items())}")
    return lines


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    known = f"any of {', '.join(names)}; default: all; `{_REPORT}` in front writes {_PAGE.relative_to(ROOT)}"
    parser.add_argument("name", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON")
    parser.add_argument("--quick", action="store_true", help="measure little, once, to see that it works")
    parser.add_argument("--rounds", type=int, help="how often to measure everything (3)")
    parser.add_argument("--systems", default="", help="compare only these, for example celeriac,celery,floor")
    parser.add_argument("--pool", default="asyncio", choices=POOLS, help="Celeriac's pool (%(default)s)")
    parser.add_argument("--size", type=int, default=Options.size, help="bytes of the file in `files` (%(default)s)")
    parser.add_argument("--page", type=Path, default=_PAGE, help=f"the page that `{_REPORT}` writes to")
    parser.add_argument("--home", type=Path, default=HOME, help="folder for the environments of other systems")
    return parser


if __name__ == "__main__":
    sys.exit(main())
