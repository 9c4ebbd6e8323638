"""The export of outcomes: in pieces, and safe for spreadsheets."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncGenerator

import pytest

from celeriac.families.email.model import RecipientOutcome, Status
from celeriac.families.email.outcome_csv import outcome_csv


async def _outcomes(
    count: int, *, address: str = "a@x.example", error: str | None = None
) -> AsyncGenerator[RecipientOutcome]:
    for row in range(2, count + 2):
        yield RecipientOutcome(row, address, Status.FAILED, 1, 550, error, f"<{row}@x>")


def _rows(pieces: list[bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(pieces).decode(), newline="")))


async def _pieces(outcomes: AsyncGenerator[RecipientOutcome]) -> list[bytes]:
    return [piece async for piece in outcome_csv(outcomes)]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_stranger_begins_as_a_formula(begin: str) -> None:
    text = f'{begin}HYPERLINK("http://x.example")'
    (row,) = _rows(asyncio.run(_pieces(_outcomes(1, address=f"{begin}a@x.example", error=text))))
    assert row["email"] == f"'{begin}a@x.example"
    assert row["error"] == f"'{text}"


def test_a_large_export_comes_in_pieces_of_bounded_size() -> None:
    pieces = asyncio.run(_pieces(_outcomes(5_000, error="no such user")))
    assert len(_rows(pieces)) == 5_000
    assert len(pieces) >= 10
    assert max(map(len, pieces)) < 50_000
