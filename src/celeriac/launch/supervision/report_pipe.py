"""The parent's end of the pipe on which a child reports."""

from __future__ import annotations

from collections.abc import Callable

from celeriac.core.errors import StartRefused
from celeriac.core.parent_protocol import Message, Refused, decode
from celeriac.launch.supervision.log_output import LineReader


def _ignore(_message: Message) -> None:
    pass


class ReportPipe:
    """Reads the report of one process: why it cannot start, and any other message."""

    def __init__(self, on_message: Callable[[Message], None] = _ignore) -> None:
        self._on_message = on_message
        self._refusal: StartRefused | None = None
        self._pipe: LineReader | None = None

    async def open(self) -> int:
        """Make the pipe, and return the descriptor for the process. Call `close` once the process has it."""
        self._pipe = await LineReader.open(self._hear)
        return self._pipe.write_end

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close_write_end()

    async def refusal(self) -> StartRefused | None:
        """Return the reason that the process reported, or None. Call this when the process has ended."""
        if self._pipe is not None:
            await self._pipe.drain()
        return self._refusal

    def _hear(self, line: str) -> None:
        match decode(line):
            case None:
                pass
            case Refused() as refused:
                self._refusal = refused.as_error()
            case message:
                self._on_message(message)
