"""Suppressed addresses as CSV: read from a file that may be hostile, and written for any program."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import BinaryIO

from celeriac.families.email.address import parse_address
from celeriac.families.email.errors import RecipientsInvalid
from celeriac.families.email.faults import Faults, invalid, is_usable, listed, shortened, why_unusable
from celeriac.families.email.outcome_csv import harmless
from celeriac.families.email.suppression import Reason, Suppression, is_list_name
from celeriac.families.email.upload import text_lines

_COLUMNS = ("email", "list", "reason", "source", "created")
_DELIMITERS = (",", ";", "\t")
_FORMULA_MARK = ("'=", "'+", "'-", "'@")
_ROWS_PER_PIECE = 500


def read_suppressions(stream: BinaryIO, list_name: str, source: str) -> Iterator[Suppression]:
    """Yield the suppressions in a CSV file: UTF-8, with a header row. Its column `email` has the addresses.

    The columns `list` and `reason` may be absent or empty: then it is `list_name`, and `manual`. Other columns, and
    empty rows, are passed over. Rows are numbered as in a spreadsheet.

    Raises:
        RecipientsInvalid: at the end, or after 20 faults. Each names its row, its column and what to change.
    """
    lines = text_lines(stream)
    header = next(lines, "")
    delimiter = max(_DELIMITERS, key=header.count)
    names = [name.strip().casefold() for name in header.strip().split(delimiter)]
    names = [name.strip('"') for name in names]
    if "email" not in names:
        raise invalid(1, None, f"no column is called email; there are: {listed(names)}")
    faults, row = Faults(), 1
    try:
        for row, cells in enumerate(csv.reader(lines, delimiter=delimiter, strict=True), start=2):
            if any(cells):
                found = _suppression(row, dict(zip(names, cells, strict=False)), list_name, source, faults)
                if found is not None and not faults:
                    yield found
    except csv.Error as error:
        faults.add(row + 1, None, f"cannot be read: {error}")
    faults.raise_if_any()


def _suppression(row: int, cells: dict[str, str], list_name: str, source: str, faults: Faults) -> Suppression | None:
    for column, cell in cells.items():
        if not is_usable(cell):
            faults.add(row, column, why_unusable(cell))
            return None
    text = cells["email"].strip() if "email" in cells else ""
    if text.startswith(_FORMULA_MARK):  # an export has protected it
        text = text[1:]
    try:
        address = parse_address(text)
    except ValueError as error:
        faults.add(row, "email", f"{shortened(text)} is not a mail address: {error}")
        return None
    list_name = cells.get("list", "").strip() or list_name
    if list_name and not is_list_name(list_name):
        faults.add(row, "list", f"{shortened(list_name)} is no name of a list: letters, digits, `.`, `_` and `-`")
        return None
    reason = cells.get("reason", "").strip() or Reason.MANUAL
    if reason not in set(Reason):
        faults.add(row, "reason", f"{shortened(reason)} is none of {', '.join(Reason)}")
        return None
    return Suppression(address, list_name, Reason(reason), source)


def check_suppressions(stream: BinaryIO, list_name: str) -> int:
    """Read a whole file, and return the number of its suppressions. The stream is back at its beginning then.

    Raises:
        RecipientsInvalid: as `read_suppressions`, or there are none.
    """
    count = sum(1 for _ in read_suppressions(stream, list_name, ""))
    if not count:
        raise RecipientsInvalid([{"row": None, "column": None, "message": "there are no addresses below the header"}])
    stream.seek(0)
    return count


async def write_suppressions(suppressions: AsyncIterable[Suppression]) -> AsyncGenerator[bytes]:
    """Yield the CSV in pieces, in UTF-8 with a header row and CRLF line ends (RFC 4180), safe for spreadsheets.

    `created` is in milliseconds since the epoch. `read_suppressions` takes what this has written.
    """
    piece = io.StringIO()
    writer = csv.writer(piece)
    writer.writerow(_COLUMNS)
    rows = 0
    async for one in suppressions:
        cells = (harmless(one.address), one.list_name, one.reason.value, harmless(one.source), one.created_at)
        writer.writerow(cells)
        rows += 1
        if rows % _ROWS_PER_PIECE == 0:
            yield piece.getvalue().encode()
            piece.seek(0)
            piece.truncate()
    yield piece.getvalue().encode()
