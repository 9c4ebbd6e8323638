"""Answers many questions with one transaction: those that come while one is under way share the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from celeriac.core.batcher import Batcher

Q = TypeVar("Q")
A = TypeVar("A")


class Gathering(Generic[Q, A]):
    """Hands questions to `answer` many at a time, and each answer, or the error of all, to who asked."""

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, most: int, name: str) -> None:
        self._answer = answer
        self._asked: Batcher[tuple[Q, asyncio.Future[A]]] = Batcher(self._send, most=most, name=name)

    async def ask(self, question: Q) -> A:
        """Return the answer to `question`. Who is cancelled meanwhile takes no other along."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked.put((question, future))
        return await future

    async def idle(self) -> None:
        """Wait until all is answered."""
        await self._asked.idle()

    async def _send(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
