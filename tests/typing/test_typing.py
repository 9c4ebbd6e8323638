"""The types of the public API, and of the fixtures for tests, as a type checker sees them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SUBJECTS = [HERE / "jobs.py", HERE / "testing.py"]
#: A file's name and a line of it.
Place = tuple[str, int]


def test_right_calls_pass_and_each_wrong_one_is_refused_where_it_is_written() -> None:
    subjects = [str(subject) for subject in SUBJECTS]
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *subjects]
    checked = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    report = json.loads(checked.stdout)
    assert report["summary"]["filesAnalyzed"] == len(SUBJECTS), checked.stdout
    found: dict[Place, set[str]] = {}
    for diagnostic in report["generalDiagnostics"]:
        place = (Path(diagnostic["file"]).name, int(diagnostic["range"]["start"]["line"]) + 1)
        found.setdefault(place, set()).add(diagnostic.get("rule", diagnostic["message"]))
    expected = dict(expectations())
    assert found.keys() == expected.keys(), report["generalDiagnostics"]
    assert [place for place, rules in found.items() if not rules <= expected[place]] == [], found


def expectations() -> Iterator[tuple[Place, set[str]]]:
    """Lines that have to be refused, with the rules by which they may be."""
    for subject in SUBJECTS:
        for number, line in enumerate(subject.read_text().splitlines(), start=1):
            if mark := re.search(r"# error: (.+)", line):
                yield (subject.name, number), set(mark.group(1).split(", "))
