"""What all routes of cleanups say of callers and databases."""

from __future__ import annotations

from fastapi import Request

from celeriac.http.auth import caller

#: The database of a request, in messages.
CLEANED = "that is cleaned"


def who(request: Request) -> str:
    """Return who is written into the audit: the API, and the name of the caller's key."""
    return f"api:{caller(request)}" if caller(request) else "api"
