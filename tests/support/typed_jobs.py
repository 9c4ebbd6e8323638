"""Jobs whose arguments have the types that people use: nested models, unions, dates, decimals, enums."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AnyUrl, BaseModel, Field, WithJsonSchema

from celeriac import Celeriac, Settings


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Card(BaseModel):
    kind: Literal["card"]
    number: str = Field(pattern=r"^[0-9]{12,19}$")
    until: date


class Transfer(BaseModel):
    kind: Literal["transfer"]
    account: str = Field(min_length=5, max_length=34)
    reference: UUID | None = None


#: pydantic describes a decimal as a number or any text, without its digits.
Price = Annotated[
    Decimal,
    Field(ge=0, max_digits=10, decimal_places=2),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,8}\.[0-9]{2}$"}),
]


class Line(BaseModel):
    article: str = Field(min_length=1, max_length=50)
    count: int = Field(ge=1, le=1000)
    price: Price
    colour: Colour = Colour.RED
    parts: list[Line] = Field(default=[], max_length=3)


class Order(BaseModel):
    id: UUID
    placed: datetime
    due: date | None = None
    lines: list[Line] = Field(min_length=1, max_length=5)
    payment: Annotated[Card | Transfer, Field(discriminator="kind")]
    notes: dict[str, str | int | None] = {}


def create(settings: Settings) -> Celeriac:
    app = Celeriac("typed", settings=settings)

    @app.job(name="order")
    async def order(order: Order, size: Size = Size.SMALL) -> Decimal:
        """Nested models, a union told apart by a member, decimals."""
        return sum((line.price * line.count for line in order.lines), Decimal(0))

    @app.job(name="times")
    async def times(at: datetime, on: date, clock: time, within: timedelta) -> None:
        """Dates and times."""

    @app.job(name="unions")
    async def unions(value: int | str | list[bool] | None, either: Colour | Mixed, wide: float | bool = 1.5) -> None:
        """Unions that nothing tells apart, and enums."""

    @app.job(name="words")
    async def words(link: AnyUrl, tags: set[str], pair: tuple[int, str], data: bytes = b"") -> None:
        """Text of a form, sets and tuples."""

    @app.job(name="anything")
    async def anything(value: Any, more: dict[str, Any] | None = None, big: int = 0) -> Any:
        """No type at all."""
        return value

    return app
