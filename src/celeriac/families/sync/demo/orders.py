"""The orders that the demo's API has, and that the table is to have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

PAGE_SIZE = 100
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_CITIES = ("Berlin", "Łódź", "Αθήνα", "東京", "São Paulo")
_NOTES = (None, "", "Gift wrap, please", 'It\'s for "Zoë"; call first', "\N{PARTY POPPER} 100 % cotton, 'large'")


def pages_of(records: int) -> int:
    """Return how many pages that many orders are."""
    return -(-records // PAGE_SIZE)


def order(number: int) -> dict[str, Any]:
    """Return the order of a number, from 1."""
    return {
        "id": number,
        "number": f"SO-{number:06}",
        "customer": {"name": f"Customer {number % 5003}", "city": _CITIES[number % len(_CITIES)]},
        "articles": [number % 97, number % 89][: number % 3],
        "total": float(Decimal(number % 99_991) / 100),
        "weight_g": number * 7_919 % 1_000_003,
        "is_paid": number % 3 > 0,
        "note": _NOTES[number % len(_NOTES)],
        "updated_at": (_EPOCH + timedelta(seconds=37 * number)).isoformat(),
    }
