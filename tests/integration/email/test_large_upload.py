"""A hundred thousand rows come into the ledger in the memory of a thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workers import ROOT


def write_csv(path: Path, rows: int) -> Path:
    """Rows as people have them: a BOM, semicolons, quoted line breaks, accents, and a hundred bytes each."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write("email;name;note\r\n")
        for n in range(rows):
            file.write(f'User{n}@mail{n % 500}.example.com;"Zoë ""Z"" {n}";"line one\r\nline two; {"x" * 40}"\r\n')
    return path


def stored(csv: Path, folder: Path) -> tuple[int, int]:
    """How many recipients were stored, and the most memory in megabytes."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.large_upload", str(csv), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, memory = map(int, done.stdout.split())
    return count, memory


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_little_more_memory_than_a_thousand(tmp_path: Path) -> None:
    few, base = stored(write_csv(tmp_path / "few.csv", 1_000), tmp_path / "few")
    many, most = stored(write_csv(tmp_path / "many.csv", 100_000), tmp_path / "many")
    assert (few, many) == (1_000, 100_000)
    assert most - base < 20, f"{base} MB for 1,000 rows, {most} MB for 100,000"
