"""Makes the request for the first page of a stream. Paginations write the rest into it."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import JsonValue
from yarl import URL

from celeriac.core.checks import shown
from celeriac.core.clock import aware
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.model import HttpSource, HttpStream, ParamValue, Since
from celeriac.families.sync.http.paginator import Question
from celeriac.families.sync.http.templates import fill_path, fill_value
from celeriac.families.sync.pages import Asked

#: Numbers of more are milliseconds since the epoch; fewer are seconds. The border is in the year 5138.
_LATEST = 100_000_000_000


def question_for(base: URL, source: HttpSource, stream: HttpStream, asked: Asked) -> Question:
    """Return the request for the records that are asked for.

    Raises:
        SourceFailed: the parent's record, or the cursor, has no value that can be sent.
    """
    params = {name: _as_text(value) for name, value in source.params.items()}
    for name, value in stream.params.items():
        params[name] = fill_value(value, asked.parent) if isinstance(value, str) else _as_text(value)
    question = Question(_below(base, fill_path(stream.path, asked.parent)), params)
    if stream.since is not None:
        value = stream.since.first if asked.cursor is None else _written(stream.since, asked.cursor)
        if value is not None:
            question.params[stream.since.param] = str(value)
    return question


def _below(base: URL, path: str) -> URL:
    """Return the URL of a quoted path below the base's own path."""
    path = path.lstrip("/")
    if not path:
        return base
    return URL(f"{base.with_query(None)}".rstrip("/") + "/" + path, encoded=True).with_query(base.query)


def _as_text(value: ParamValue) -> str | list[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, list) else str(value)


def _written(since: Since, cursor: JsonValue) -> str:
    """Return the cursor as the API takes it."""
    if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
        raise SourceFailed(f"the cursor {shown(cursor)} is no text or number, and cannot be sent as {since.param}")
    if since.format == "as_is":
        return str(cursor)
    moment = _moment(since, cursor)
    if since.format == "iso":
        return moment.isoformat().replace("+00:00", "Z")
    in_ms = since.format == "epoch_milliseconds"
    return str(int(moment.timestamp() * (1000 if in_ms else 1)))


def _moment(since: Since, cursor: str | int | float) -> datetime:
    """Read a time. One without an offset is UTC."""
    try:
        if isinstance(cursor, str):
            return aware(datetime.fromisoformat(cursor)).astimezone(UTC)
        return datetime.fromtimestamp(cursor / 1000 if abs(cursor) >= _LATEST else cursor, UTC)
    except (ValueError, OverflowError, OSError):
        raise SourceFailed(
            f"the cursor {shown(cursor)} is no time, and {since.param} wants one: set since.format to as_is"
        ) from None
