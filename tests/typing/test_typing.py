"""The types of the public API, as a type checker sees them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SUBJECT = HERE / "jobs.py"


def test_right_calls_pass_and_each_wrong_one_is_refused_where_it_is_written() -> None:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(SUBJECT)]
    checked = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    report = json.loads(checked.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, checked.stdout
    found: dict[int, set[str]] = {}
    for diagnostic in report["generalDiagnostics"]:
        line = int(diagnostic["range"]["start"]["line"]) + 1
        found.setdefault(line, set()).add(diagnostic.get("rule", diagnostic["message"]))
    expected = dict(expectations())
    assert found.keys() == expected.keys(), report["generalDiagnostics"]
    assert [line for line, rules in found.items() if not rules <= expected[line]] == [], found


def expectations() -> list[tuple[int, set[str]]]:
    """Lines that have to be refused, with the rules by which they may be."""
    lines = enumerate(SUBJECT.read_text().splitlines(), start=1)
    marked = [(number, re.search(r"# error: (.+)", line)) for number, line in lines]
    return [(number, set(mark.group(1).split(", "))) for number, mark in marked if mark]
