"""A schedule as definitions of job families have it: in a file, or in code."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from celeriac.core.durations import parse
from celeriac.core.exact import Exact
from celeriac.engine.cron import Cron


def _seconds(value: Any) -> Any:
    """A number is seconds, as in all of Celeriac. A text has its unit."""
    return parse(value).total_seconds() if isinstance(value, str) else value


class Schedule(Exact):
    """When beat begins a run. A wrong one is refused when it is read."""

    cron: str | None = Field(default=None, max_length=200)
    """`minute hour day month weekday`: `15 3 * * *`."""
    every: Annotated[float | None, BeforeValidator(_seconds)] = Field(default=None, gt=0, le=366 * 86_400)
    """Or after what time again: `15min`, or a number of seconds."""
    timezone: str | None = Field(default=None, max_length=100)
    """The time zone's name, for `cron`: `Europe/Berlin`. Unset: that of the application."""

    @field_validator("cron")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Cron(value)
            except ValueError as error:
                raise ValueError(f"{value!r} is not `minute hour day month weekday`: {error}") from None
        return value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"{value!r} is no time zone; expected a name such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if (self.cron is None) == (self.every is None):
            raise ValueError("give either `cron` or `every`")
        if self.timezone is not None and self.cron is None:
            raise ValueError("`timezone` has a meaning for `cron` only")
        return self

    def __str__(self) -> str:
        if self.cron is None:
            return f"every {self.every:g} s"
        return " ".join(("cron", *self.cron.split(), *([self.timezone] if self.timezone else [])))
