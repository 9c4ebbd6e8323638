"""What a stream has had already, so that one that goes round in circles is noticed. Its memory has an end."""

from __future__ import annotations

#: How many are remembered. A circle of more pages is none that a faulty source goes.
_MOST = 200_000


class Seen:
    """Remembers digests of pages or tokens, the last ones of many."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def first(self, digest: int, page: int) -> int:
        """Return the page that had this first: `page`, if none had."""
        first = self._pages.setdefault(digest, page)
        if len(self._pages) > _MOST:
            del self._pages[next(iter(self._pages))]
        return first
