"""Makes the request for the first page of a stream. Paginations write the rest into it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from pydantic import JsonValue
from yarl import URL

from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.model import HttpSource, HttpStream, Params, Since
from celeriac.families.sync.http.paginator import Question
from celeriac.families.sync.http.templates import fill_path, fill_value
from celeriac.families.sync.pages import Asked, Record

#: Numbers of more are milliseconds since the epoch; fewer are seconds. The border is in the year 5138.
_LATEST = 100_000_000_000


def question_for(base: URL, source: HttpSource, stream: HttpStream, asked: Asked) -> Question:
    """Return the request for the records that are asked for.

    Raises:
        SourceFailed: the parent's record, or the cursor, has no value that can be sent.
    """
    question = Question(_below(base, fill_path(stream.path, asked.parent)), _filled(source.params, None))
    question.params |= _filled(stream.params, asked.parent)
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


def _filled(params: Params, parent: Record | None) -> dict[str, str | list[str]]:
    return {name: _as_text(value, parent) for name, value in params.items()}


def _as_text(value: Any, parent: Record | None) -> str | list[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [str(each) for each in cast("list[Any]", value)]
    return fill_value(value, parent) if isinstance(value, str) else str(value)


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
            moment = datetime.fromisoformat(cursor)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return datetime.fromtimestamp(cursor / 1000 if abs(cursor) >= _LATEST else cursor, UTC)
    except (ValueError, OverflowError, OSError):
        raise SourceFailed(
            f"the cursor {shown(cursor)} is no time, and {since.param} wants one: set since.format to as_is"
        ) from None
