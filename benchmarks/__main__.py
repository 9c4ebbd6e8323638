"""`./dev bench [NAME ...] [--json]`: each file of this folder answers one question."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.harness import Bench, machine

_NOT_BENCHMARKS = {"__init__", "__main__", "harness"}


def main() -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_BENCHMARKS)
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; without it, all")
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON, the last one last")
    options = parser.parse_args()
    unknown = set(options.name) - set(names)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    out = sys.stderr if options.json else sys.stdout
    print(machine(), file=out)
    for name in options.name or names:
        bench: Bench = importlib.import_module(f"benchmarks.{name}").run()
        print(f"\n{bench.as_markdown()}", file=out, flush=True)
        if options.json:
            print(json.dumps(bench.as_dict()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
