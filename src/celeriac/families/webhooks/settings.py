"""The settings of webhooks."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from celeriac.family import FamilySettings

_DEFAULT_SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)


class WebhookSettings(FamilySettings):
    """The settings of webhooks: where to deliver, how often to try, and how long to remember."""

    webhook_allow: tuple[str, ...] = ()
    """Networks, addresses and hosts inside yours to which webhooks may go, separated by commas: `10.1.0.0/16`,
    `127.0.0.1`, `127.0.0.1:9000` for one port, or `hooks.internal:8080`. Unset: public addresses only."""
    webhook_schedule: tuple[float, ...] = _DEFAULT_SCHEDULE
    """Seconds between one try of a delivery and the next, separated by commas. After the last one, it is exhausted."""
    webhook_connect_timeout: float = Field(default=5.0, gt=0, le=60)
    """Seconds that connecting to an endpoint may take, with its TLS."""
    webhook_read_timeout: float = Field(default=15.0, gt=0, le=300)
    """Seconds that an endpoint may be silent before its answer, or in the middle of it."""
    webhook_timeout: float = Field(default=30.0, gt=0, le=600)
    """Seconds that one try may take in all."""
    webhook_max_event_bytes: int = Field(default=262_144, ge=1024, le=16_777_216)
    """Largest payload of an event, in bytes."""
    webhook_concurrency: int = Field(default=10, ge=1, le=1000)
    """Requests that one endpoint gets at a time, from all workers together, unless it says otherwise."""
    webhook_disable_after: float = Field(default=5 * 86400.0, gt=0, le=90 * 86400)
    """Seconds of failures, without a success, after which an endpoint is disabled."""
    webhook_disable_failures: int = Field(default=12, ge=1, le=10_000)
    """Failures that it takes as well, of three messages or more."""
    webhook_retention: float = Field(default=30 * 86400.0, ge=3600, allow_inf_nan=False)
    """Seconds for which events are kept, with their deliveries and tries. Deliveries that are still open stay."""

    @field_validator("webhook_allow", "webhook_schedule", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("webhook_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from celeriac.families.webhooks.guard import Guard  # only if somebody asks for it

        Guard(value)
        return value

    @field_validator("webhook_schedule", mode="wrap")
    @classmethod
    def _delays(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> tuple[float, ...]:
        try:
            delays: tuple[float, ...] = parse(value)
        except ValidationError:
            delays = (0,)
        if len(delays) > 50 or not all(0 < delay <= 30 * 86400 for delay in delays):
            raise ValueError(
                "expected up to 50 numbers of seconds, separated by commas, each above 0 and up to 2592000 (30 days)"
            )
        return delays
