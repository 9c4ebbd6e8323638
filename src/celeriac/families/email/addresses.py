"""Checks the addresses of a list of recipients, and finds those that occur twice, in little memory."""

from __future__ import annotations

from array import array
from enum import StrEnum
from secrets import token_hex

from celeriac.families.email.address import identity, parse_address
from celeriac.families.email.faults import Faults, shortened

_SMALLEST = 1 << 10
_64_BITS = (1 << 64) - 1


class Duplicates(StrEnum):
    """What to do with a row whose address is in an earlier row, whatever its other data are."""

    REFUSE = "refuse"
    """The mailing is refused, and the error names both rows."""
    FIRST = "first"
    """The first row is sent, and later ones are left out."""
    ALL = "all"
    """Each row is sent: orders of one customer, for example."""


class FirstRows:
    """Remembers for each address the row that had it first, in 18 to 36 bytes: 3 MB for 100,000 rows.

    It is a hash table in two arrays (a dict of texts takes seven times as much). It keeps a salted hash of 64
    bits of each address: among a million, two differ and look equal with a probability of 3 in 100 million, and nobody
    can choose addresses that do.
    """

    def __init__(self) -> None:
        self._salt = token_hex(16)
        self._count = 0
        self._make(_SMALLEST)

    def __sizeof__(self) -> int:
        return self._digests.itemsize * len(self._digests) + self._rows.itemsize * len(self._rows)

    def first(self, address: str, row: int) -> int:
        """Return the row that had this address first: `row` (at least 1) itself, if none did."""
        digest = hash(self._salt + address) & _64_BITS
        slot = self._slot(digest)
        if self._rows[slot]:
            return self._rows[slot]
        self._digests[slot], self._rows[slot] = digest, row
        self._count += 1
        if self._count * 3 > len(self._rows) * 2:
            self._grow()
        return row

    def _slot(self, digest: int) -> int:
        """Return the slot that has this digest, or the free one where it belongs."""
        slot = digest & self._mask
        while self._rows[slot] and self._digests[slot] != digest:
            slot = (slot + 1) & self._mask
        return slot

    def _make(self, slots: int) -> None:
        self._digests = array("Q", bytes(8 * slots))
        self._rows = array("I", bytes(array("I").itemsize * slots))
        self._mask = slots - 1

    def _grow(self) -> None:
        digests, rows = self._digests, self._rows
        self._make(2 * len(rows))
        for digest, row in zip(digests, rows, strict=True):
            if row:
                slot = self._slot(digest)
                self._digests[slot], self._rows[slot] = digest, row


class Addresses:
    """A checker of addresses, which also finds duplicates. It has `left_out` so many of them."""

    def __init__(self, faults: Faults, duplicates: Duplicates) -> None:
        self._faults = faults
        self._duplicates = duplicates
        self._first_rows = FirstRows()
        self.left_out = 0

    def check(self, row: int, text: str) -> str | None:
        """Return the normal form of the address. None: this row gets no mail. If that is a fault, note it."""
        try:
            address = parse_address(text.strip())
        except ValueError as error:
            self._faults.add(row, "email", f"{shortened(text)} is not a mail address: {error}")
            return None
        if self._duplicates is Duplicates.ALL:
            return address
        first = self._first_rows.first(identity(address), row)
        if first == row:
            return address
        if self._duplicates is Duplicates.REFUSE:
            self._faults.add(
                row,
                "email",
                f"{address} is in row {first} already; remove one of the two, or choose with `duplicates`: "
                "`first` sends the first of them, `all` sends each",
            )
        else:
            self.left_out += 1
        return None
