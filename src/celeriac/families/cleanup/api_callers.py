"""Who calls the API."""

from __future__ import annotations

from fastapi import Request

from celeriac.http.auth import caller


def who(request: Request) -> str:
    """Return who is written into the audit: the API, and the name of the caller's key."""
    return f"api:{caller(request)}" if caller(request) else "api"


def key_of(request: Request, idempotency_key: str | None) -> str | None:
    """Return an idempotency key as one of this caller's own."""
    return f"{caller(request)}:{idempotency_key}" if idempotency_key is not None else None
