"""`async def` tasks that somebody has wrapped: Celery for `pydantic=True` or `autoretry_for`, or the user."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from pydantic import BaseModel, ValidationInfo, field_validator


class Order(BaseModel):
    number: int
    currency: str = "?"

    @field_validator("currency")
    @classmethod
    def known(cls, value: str, info: ValidationInfo) -> str:
        return (info.context or {}).get("currency", value)


class Receipt(BaseModel):
    total: int
    secret: str = "s"


class Run(Task):  # pyright: ignore[reportMissingTypeArgument]
    name = "wrapped.run"

    async def run(self, value: int) -> list[Any]:
        await asyncio.sleep(0)
        return [value, self.request.id]


class Called(Run):
    name = "wrapped.called"

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return {"called": await super().__call__(*args, **kwargs)}


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that knows nothing of coroutines."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for coroutine functions."""

    @functools.wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return {"awaited": await function(*args, **kwargs)}

    return inner


def add_to(app: Celery) -> None:
    """Add the tasks to an application."""

    def task(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        return app.task(name=f"wrapped.{name}", shared=False, **options)

    @task("pydantic", pydantic=True)
    async def pay(order: Order, count: int = 1) -> Receipt:
        assert isinstance(order, Order)
        await asyncio.sleep(0)
        return Receipt(total=order.number * count)

    @task("pydantic_def", pydantic=True)
    def pay_at_once(order: Order) -> Receipt:
        return Receipt(total=order.number)

    @task("optional", pydantic=True)
    async def maybe(order: Order | None = None) -> Receipt | None:
        return None if order is None else Receipt(total=order.number)

    @task(
        "everything",
        bind=True,
        pydantic=True,
        pydantic_strict=True,
        pydantic_context={"currency": "EUR"},
        pydantic_dump_kwargs={"exclude": {"secret"}},
        autoretry_for=(ConnectionError,),
        retry_kwargs={"countdown": 0},
    )
    async def everything(self: Any, order: Order) -> Receipt:
        if not self.request.retries:
            raise ConnectionError("not yet")
        assert (order.currency, self.name) == ("EUR", "wrapped.everything")
        return Receipt(total=order.number + self.request.retries)

    @task("pydantic_plainly", pydantic=True)
    @plainly
    async def pay_plainly(order: Order) -> Receipt:
        return Receipt(total=order.number)

    @task("plainly")
    @plainly
    async def add_plainly(value: int) -> int:
        await asyncio.sleep(0)
        return value + 1

    @task("awaited")
    @awaited
    async def add_awaited(value: int) -> int:
        return value + 1

    @task("limited", pydantic=True, soft_time_limit=0.2)
    async def limited(order: Order) -> Receipt:
        await asyncio.sleep(60)
        raise AssertionError

    app.register_task(Run())
    app.register_task(Called())
