"""How many records of a pass may be rejected. More of them, or all, mean that something else is wrong than a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from celeriac.families.sync.counts import Counts
from celeriac.families.sync.errors import TooManyRejected
from celeriac.families.sync.model import Stream
from celeriac.families.sync.pages import Refusal

#: Reasons that an error names, and characters of each.
_SHOWN, _LONGEST = 3, 200


class Rejections:
    """What one attempt at a stream has rejected."""

    def __init__(self, sync: str, stream: Stream, hide: Callable[[str], str] = str) -> None:
        """What is told of reasons is what `hide` makes of them."""
        self._sync = sync
        self._stream = stream
        self._hide = hide
        self._reasons = Counter[str]()

    def see(self, refused: Iterable[Refusal]) -> None:
        """Take note of records."""
        self._reasons.update(one.reason for one in refused)

    def check_end(self, counts: Counts, refused: Sequence[Refusal]) -> None:
        """Judge what the table refuses of a refresh. If the refresh fails, none of its rows stays.

        Raises:
            TooManyRejected: it refuses more than the stream allows, or all.
        """
        if refused:
            self.see(refused)
            self.check_most(counts, "the next run reads them again")
            self.check_written(counts)

    def check_most(self, counts: Counts, then: str = "") -> None:
        """
        Raises:
            TooManyRejected: there are more than the stream allows. `then` says what the next run does.
        """
        most = self._stream.max_rejected
        if counts.rejected > most:
            lists = f"`celeriac sync rejects {self._sync}` lists them"
            goes_on = f"the next run goes on behind them: {lists}, and a run with --full reads them again"
            raise TooManyRejected(
                f"stream {self._stream.name}: {counts.rejected:,} of {counts.received:,} records were rejected, and "
                f"max_rejected is {most:,}{self._told()}; {f'{then}: {lists}' if then else goes_on}"
            )

    def check_written(self, counts: Counts) -> None:
        """
        Raises:
            TooManyRejected: records came, and none was written.
        """
        if counts.received and not counts.written:
            raise TooManyRejected(
                f"stream {self._stream.name}: none of its {counts.received:,} records could be written{self._told()}; "
                f"the next run reads them again: `celeriac sync rejects {self._sync}` lists them"
            )

    def _told(self) -> str:
        """Say the most frequent reasons, and how often each has come."""
        shown = [
            f"{self._hide(reason)[:_LONGEST]} ({number:,})" for reason, number in self._reasons.most_common(_SHOWN)
        ]
        return f": {'; '.join(shown)}" if shown else ""
