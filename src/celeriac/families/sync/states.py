"""How far streams are. What a commit changes of it is written in the transaction of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update

from celeriac.core.ids import new_id
from celeriac.database.clock import now_ms
from celeriac.database.prepared import Prepared
from celeriac.families.sync.counts import Counts
from celeriac.families.sync.cursors import later
from celeriac.families.sync.pages import Page, Place
from celeriac.families.sync.tables import parent_table as parents
from celeriac.families.sync.tables import state_table as states

IDLE, READING, READ = "idle", "reading", "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far a stream is, or the children of one parent.

    Attributes:
        phase: `idle`; `reading` while a pass is under way; `read` before a refresh is swapped.
        pass_id: the pass that is under way, or was the last.
        is_full: whether this pass asks for all records, whatever the cursor.
        fingerprint: what the pages were asked for by.
        origin: which records the cursor belongs to.
        place: where the pass goes on.
        cursor: where the next pass begins.
        pending: the greatest cursor of this pass.
        counts: what this pass has counted.
        done_run: the run that has ended the last pass.
        has_news: whether this pass has read more than records at the cursor, which came before.
        kept: what the source has kept for the next pass.
    """

    phase: str = IDLE
    pass_id: str = ""
    is_full: bool = False
    fingerprint: str = ""
    origin: str = ""
    place: Place = field(default_factory=Place)
    cursor: JsonValue = None
    pending: JsonValue = None
    counts: Counts = field(default_factory=Counts)
    done_run: str = ""
    has_news: bool = False
    kept: JsonValue = None


_this = and_(
    states.c.sync == bindparam("of_sync"),
    states.c.stream == bindparam("of_stream"),
    states.c.parent == bindparam("of_parent"),
)
_storing = Prepared(
    update(states)
    .where(_this)
    .values(
        {
            **{
                name: bindparam(name)
                for name in (
                    *("phase", "pass", "is_full", "fingerprint", "origin", "place", "cursor", "pending", "counts"),
                    *("done_run", "has_news", "kept"),
                )
            },
            "updated_at": now_ms(),
        }
    )
)


def load(connection: Connection, sync: str, stream: str, parent: str = "") -> State:
    """Return the state of a stream, or of the children of one parent; a fresh one if it has none."""
    query = select(states).where(_this)
    row = connection.execute(query, {"of_sync": sync, "of_stream": stream, "of_parent": parent}).mappings().first()
    return State() if row is None else _state(row)


def store(connection: Connection, sync: str, stream: str, state: State, parent: str = "") -> None:
    """Write a state."""
    key = {"of_sync": sync, "of_stream": stream, "of_parent": parent}
    values: dict[str, Any] = {
        "phase": state.phase,
        "pass": state.pass_id,
        "is_full": state.is_full,
        "fingerprint": state.fingerprint,
        "origin": state.origin,
        "place": {"token": state.place.token, "skip": state.place.skip, "page": state.place.page},
        "cursor": state.cursor,
        "pending": state.pending,
        "counts": state.counts.as_dict(),
        "done_run": state.done_run,
        "has_news": state.has_news,
        "kept": state.kept,
    }
    if _storing.run(connection, key | values) == 0:
        row = {"sync": sync, "stream": stream, "parent": parent, **values}
        connection.execute(insert(states).values(**row, updated_at=now_ms()))


def begun(state: State, *, fingerprint: str, origin: str, is_full: bool | None) -> State:
    """Return the state with which a pass begins, or goes on.

    It goes on where another run has stopped, unless its pages are other ones by now. A cursor of another `origin` says
    nothing about these records: then all are read. `is_full` asks for a pass over all
    records (True), for one from the cursor on (False), or for whichever is under way (None).
    """
    same = state.fingerprint == fingerprint and (is_full is None or is_full is state.is_full)
    if state.phase != IDLE and same:
        is_in_pieces = state.phase == READING and state.place.skip > 0
        return replace(state, counts=state.counts + Counts(repeated_pages=1)) if is_in_pieces else state
    return State(
        phase=READING,
        pass_id=new_id(),
        is_full=bool(is_full),
        fingerprint=fingerprint,
        origin=origin,
        cursor=state.cursor if state.origin == origin else None,
        kept=state.kept if state.origin == origin else None,
    )


def has_news(start: State, pending: JsonValue) -> bool:
    """Return whether there was more to read from `start` on than records at the cursor, which came before."""
    return start.is_full or start.cursor is None or later(start.cursor, pending) != start.cursor


def of_parent(before: State, of_stream: State) -> State:
    """Return the state with which the children of one parent are read, or read on, in the pass of their stream."""
    if before.pass_id == of_stream.pass_id:
        return before
    same = before.origin == of_stream.origin
    return State(
        phase=READING,
        pass_id=of_stream.pass_id,
        is_full=of_stream.is_full,
        origin=of_stream.origin,
        cursor=before.cursor if same else None,
        kept=before.kept if same else None,
    )


def behind(state: State, page: Page, pending: JsonValue, **values: Any) -> State:
    """Return the state behind a page, with further `values`. What the source keeps is that of the last one."""
    kept = state.kept if page.after is not None or page.kept is None else page.kept
    return replace(state, place=page.after or Place(), pending=pending, kept=kept, **values)


def ended(state: State, counts: Counts, run: str) -> State:
    """Return the state of a stream whose pass a run has completed: its cursor moves."""
    cursor = later(state.cursor, state.pending)
    return replace(state, phase=IDLE, place=Place(), cursor=cursor, pending=None, counts=counts, done_run=run)


def forget(connection: Connection, sync: str, streams: Sequence[str]) -> None:
    """Forget how far streams are, with the parents that they have found."""
    for table in (states, parents):
        connection.execute(delete(table).where(table.c.sync == sync, table.c.stream.in_(streams)))


def forget_children(connection: Connection, sync: str, stream: str, pass_id: str) -> None:
    """Forget how far the children of parents are that a pass has read."""
    of_stream = and_(states.c.sync == sync, states.c.stream == stream, states.c.parent != "")
    connection.execute(delete(states).where(of_stream, states.c["pass"] == pass_id))


def all_of(connection: Connection, sync: str) -> dict[str, State]:
    """Return the states of the streams of a sync, by their names."""
    query = select(states).where(states.c.sync == sync, states.c.parent == "").order_by(states.c.stream)
    return {row["stream"]: _state(row) for row in connection.execute(query).mappings()}


def _state(row: Any) -> State:
    return State(
        phase=row["phase"],
        pass_id=row["pass"],
        is_full=row["is_full"],
        fingerprint=row["fingerprint"],
        origin=row["origin"],
        place=Place(**row["place"]),
        cursor=row["cursor"],
        pending=row["pending"],
        counts=Counts.of(row["counts"]),
        done_run=row["done_run"],
        has_news=row["has_news"],
        kept=row["kept"],
    )


def store_parents(
    connection: Connection, sync: str, stream: str, pass_id: str, found: Mapping[str, dict[str, Any]]
) -> None:
    """Note parents by their keys, with the fields that their children need."""
    mine = and_(parents.c.sync == sync, parents.c.stream == stream)
    query = select(parents.c.key).where(mine, parents.c.key.in_(found))
    there = set(connection.execute(query).scalars())
    for key, fields in found.items():
        if key in there:
            changing = update(parents).where(mine, parents.c.key == key)
            connection.execute(changing.values({"fields": fields, "pass": pass_id}))
    new = [
        {"sync": sync, "stream": stream, "key": key, "fields": fields, "pass": pass_id}
        for key, fields in found.items()
        if key not in there
    ]
    if new:
        connection.execute(insert(parents), new)


def drop_parents_not_seen(connection: Connection, sync: str, stream: str, pass_id: str) -> None:
    """Forget the parents that a full refresh has not seen."""
    connection.execute(
        delete(parents).where(parents.c.sync == sync, parents.c.stream == stream, parents.c["pass"] != pass_id)
    )


def forget_parents(connection: Connection, sync: str, stream: str, keys: Sequence[str]) -> int:
    """Forget parents, so that nobody asks for their children. Return how many were known."""
    those = and_(parents.c.sync == sync, parents.c.stream == stream, parents.c.key.in_(keys))
    return connection.execute(delete(parents).where(those)).rowcount


def next_parents(
    connection: Connection, sync: str, parent_stream: str, child: str, pass_id: str, *, limit: int
) -> list[tuple[str, dict[str, Any]]]:
    """Return the next parents whose children this pass has not read to the end: their keys and fields."""
    done = and_(states.c.sync == sync, states.c.stream == child, states.c.parent == parents.c.key)
    query = (
        select(parents.c.key, parents.c.fields)
        .select_from(parents.outerjoin(states, done))
        .where(parents.c.sync == sync, parents.c.stream == parent_stream)
        .where(or_(states.c["pass"].is_(None), states.c["pass"] != pass_id, states.c.phase != IDLE))
        .order_by(parents.c.key)
        .limit(limit)
    )
    return [(key, fields) for key, fields in connection.execute(query)]
