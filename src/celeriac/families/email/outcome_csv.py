"""Exports the outcome of each recipient of a mailing as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterable

from celeriac.families.email.model import RecipientOutcome

_COLUMNS = ("row", "email", "status", "attempts", "code", "error", "message_id")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ROWS_PER_PIECE = 500


async def outcome_csv(outcomes: AsyncIterable[RecipientOutcome]) -> AsyncGenerator[bytes]:
    """Yield the CSV in pieces, in UTF-8 with a header row and CRLF line ends (RFC 4180).

    Strangers write addresses and server replies, and spreadsheets compute a cell that begins with `=`. So such a
    cell gets an apostrophe in front.
    """
    piece = io.StringIO()
    writer = csv.writer(piece)
    writer.writerow(_COLUMNS)
    rows = 0
    async for outcome in outcomes:
        writer.writerow(
            (
                outcome.position,
                harmless(outcome.address),
                outcome.status.value,
                outcome.attempts,
                outcome.code,
                harmless(outcome.error),
                outcome.message_id,
            )
        )
        rows += 1
        if rows % _ROWS_PER_PIECE == 0:
            yield piece.getvalue().encode()
            piece.seek(0)
            piece.truncate()
    yield piece.getvalue().encode()


def harmless(cell: str | None) -> str | None:
    """Return the cell with an apostrophe in front, if a spreadsheet would compute it."""
    return f"'{cell}" if cell and cell.startswith(_FORMULA) else cell
