"""A dry run: the first page of each stream, and the columns that its records would have. It changes no row."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue
from sqlalchemy import Connection

from celeriac.core import codec
from celeriac.families.sync.columns import Changes, Column, Known
from celeriac.families.sync.cursors import CursorField, Highest, less
from celeriac.families.sync.definitions import Definition
from celeriac.families.sync.destinations import Destinations
from celeriac.families.sync.history import text_of
from celeriac.families.sync.model import FileDestination, Mode, Stream, Sync
from celeriac.families.sync.pages import Asked, Page, Record, Refusal, Source
from celeriac.families.sync.parents import with_parent
from celeriac.families.sync.paths import getter, nested
from celeriac.families.sync.running import chosen_streams
from celeriac.families.sync.secrets import hiding
from celeriac.families.sync.shaping import Shaper
from celeriac.families.sync.states import State, load

#: Records, and rejected ones, that are shown of a page, and the characters of each.
_SHOWN, _LONGEST = 10, 4000


class ColumnView(BaseModel):
    """A column that the table of a stream has, or would get."""

    name: str
    field: str = Field(description="The field of the records, or the path to it")
    kind: str
    key: bool
    change: Literal["", "added", "widened"] = Field(description="What a run would do to the table")


class RejectedView(BaseModel):
    """A record that would be rejected."""

    position: int
    reason: str
    record: JsonValue


class StreamPreview(BaseModel):
    """The first page of a stream."""

    received: int = Field(description="How many records the page has")
    records: list[JsonValue] = Field(description="The first of them; a long one is shown as the beginning of its JSON")
    rejected: list[RejectedView] = Field(description="The first of the records that would be rejected")
    rejected_count: int = Field(default=0, description="How many records of the page would be rejected")
    columns: list[ColumnView]
    more: bool = Field(description="Whether there are further pages")
    requests: int
    note: str = ""


class DryRunOutcome(BaseModel):
    """What came of a dry run."""

    sync: str
    streams: dict[str, StreamPreview]


async def dry_run(
    definition: Definition, destinations: Destinations, source: Source, names: Sequence[str] | None
) -> DryRunOutcome:
    """Look at the first page of streams of a sync. The children's is that of the first parent.

    Raises:
        SourceFailed, SourceUnavailable, RunLater: as a run does.
        SchemaStopped: a stream's table would have to change, and must not.
    """
    sync = definition.sync
    chosen = chosen_streams(sync, names)
    needed = {stream.parent.stream for stream in chosen if stream.parent is not None} | {one.name for one in chosen}
    pages: dict[str, Page] = {}
    previews: dict[str, StreamPreview] = {}
    try:
        for stream in sync.in_order():
            if stream.name not in needed:
                continue
            parent = _first_parent(sync, stream, pages)
            if stream.parent is not None and parent is None:
                previews[stream.name] = _nothing(f"the stream {stream.parent.stream} has no record to read those of")
                continue
            known, cursor = await _standing(destinations, sync, stream)
            asked = Asked(stream=stream.name, cursor=cursor, parent=parent and nested(parent))
            page = await _first_page(source, asked)
            if parent is not None:
                page = with_parent(stream, page, parent)
            pages[stream.name] = page
            if stream in chosen:
                previews[stream.name] = _preview(
                    destinations.database(sync).dialect, stream, page, known, hiding(source)
                )
    finally:
        await source.close()
    return DryRunOutcome(sync=sync.name, streams=previews)


async def _first_page(source: Source, asked: Asked) -> Page:
    async with contextlib.aclosing(source.pages(asked)) as pages:
        async for page in pages:
            return page
    return Page(records=[], after=None, requests=0)


def _first_parent(sync: Sync, stream: Stream, pages: Mapping[str, Page]) -> Record | None:
    """Return the fields of the first record of the parent's page; None if there is none."""
    if stream.parent is None or not pages[stream.parent.stream].records:
        return None
    page = pages[stream.parent.stream]
    return {path: getter(path)(page.records[0]) for path in sync.fields_of_parents(stream.parent.stream)}


def _preview(dialect: str, stream: Stream, page: Page, known: Known, hide: Callable[[str], str]) -> StreamPreview:
    shaper = Shaper(stream, dialect, known, stream.primary_key)
    cursor = CursorField(stream)
    shaped = shaper.shape(page.records, cursor.judge(page, Highest()))
    refused = [*page.refused, *shaped.rejected]
    return StreamPreview(
        received=len(page.records) + len(page.refused),
        records=[_shown(record, hide) for record in page.records[:_SHOWN]],
        rejected=[_rejected(one, hide) for one in refused[:_SHOWN]],
        rejected_count=len(refused),
        columns=[_column(one, shaped.changes) for one in shaped.columns],
        more=page.after is not None,
        requests=page.requests,
        note="the API knows nothing (404) of the children of the first parent" if page.is_missing else cursor.fault,
    )


async def _standing(destinations: Destinations, sync: Sync, stream: Stream) -> tuple[Known, JsonValue]:
    """Return a stream's table as it is, and the cursor of its next run. Without a table, create nothing."""
    nothing = Known([], {}, exists=False)
    database = destinations.database(sync)
    table = None if isinstance(sync.destination, FileDestination) else destinations.table(sync, stream)
    if table is not None and not await database.look(table.exists):
        return nothing, None

    def look(connection: Connection) -> tuple[Known, State]:
        known = nothing if table is None else table.look(connection, stream.primary_key)
        return known, load(connection, sync.name, stream.name)

    known, state = await database.read(look)
    begins_anew = stream.parent is not None or stream.mode is Mode.FULL_REFRESH
    return known, None if begins_anew else less(state.cursor, stream.lookback)


def _column(column: Column, changes: Changes) -> ColumnView:
    change = "added" if column.name in changes.added else "widened" if column.name in changes.widened else ""
    return ColumnView(name=column.name, field=column.field, kind=column.kind.value, key=column.is_key, change=change)


def _rejected(refusal: Refusal, hide: Callable[[str], str]) -> RejectedView:
    return RejectedView(position=refusal.position, reason=hide(refusal.reason), record=_shown(refusal.record, hide))


def _shown(record: Any, hide: Callable[[str], str]) -> JsonValue:
    """Return a record as JSON; as the beginning of its text if it is long, or is no JSON."""
    text = hide(text_of(record))
    if len(text) <= _LONGEST:
        with contextlib.suppress(ValueError):
            return codec.loads(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _nothing(note: str) -> StreamPreview:
    return StreamPreview(received=0, records=[], rejected=[], columns=[], more=False, requests=0, note=note)
