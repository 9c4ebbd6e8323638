"""What a sync is: a source, the streams to read of it, and where their records go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from celeriac.core.exact import Exact
from celeriac.engine.schedule_model import Schedule
from celeriac.families.sync.http.model import HttpSource, HttpStream
from celeriac.families.sync.kinds import Kind

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
#: A field of a record, or a dotted path to one.
Path = Annotated[str, StringConstraints(min_length=1, max_length=200)]
#: The name of a table, a schema or what is put before one. It is quoted, so it may be any that the database takes.
SqlName = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f%`]+$")]
#: Bytes of a table's name. Postgres allows 63, and a refresh puts something behind it.
_LONGEST_TABLE = 52
#: What that is.
BESIDE = "__refresh"
#: Fields of a source that do not change what its pages are.
_HOW = {"auth", "rate", "attempts", "backoff", "connect_timeout", "read_timeout", "timeout", "max_response_mb"}


class Mode(StrEnum):
    """How a stream's records come into its table."""

    INCREMENTAL = "incremental"
    """By their key: new ones are added, others replaced. With a cursor, only what has changed is asked for."""
    FULL_REFRESH = "full_refresh"
    """All are read into a table aside, which then replaces the rows in one transaction."""
    APPEND = "append"
    """Each record is a row of its own, whatever its key."""


class OnNewColumn(StrEnum):
    """What a field does for which the table has no column, or a value that its column cannot hold."""

    ADD = "add"
    """The table gets a column, or a wider one."""
    IGNORE = "ignore"
    """The field is left out. A record whose value does not fit is rejected."""
    STOP = "stop"
    """The run fails before the page is written."""


class Deletes(StrEnum):
    """What a full refresh does with rows that the source has no more."""

    KEEP = "keep"
    """It leaves them."""
    SOFT = "soft"
    """It sets their `celeriac_deleted_at`."""
    HARD = "hard"
    """It deletes them."""


class Parent(Exact):
    """The stream whose records have the children that another stream reads, once for each."""

    stream: Name
    """The parent's stream."""
    fields: tuple[Path, ...] = Field(min_length=1)
    """Fields of the parent that paths may name, `{parent.id}`. The child's rows have them as `<stream>_<field>`."""


class Stream(Exact):
    """One kind of records, and the table that they go to."""

    name: Name
    """Its name at the source, and in messages."""
    table: SqlName | None = None
    """The name of the table. Default: `name`."""
    mode: Mode = Mode.INCREMENTAL
    """How records come into the table."""
    primary_key: tuple[Path, ...] = ()
    """Fields that tell records apart: one, or a list."""
    cursor: Path | None = None
    """Field that only grows when a record changes, such as `updated_at`: a number, a time stamp or a text."""
    lookback: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Seconds, or numbers, by which each run begins before the last cursor: for records that appear late."""
    parent: Parent | None = None
    """The stream whose records have these as children."""
    columns: Mapping[Path, Kind] = Field(default_factory=dict[str, Kind])
    """Types of fields, `{total: numeric}`. They do not change: a value that does not fit rejects its record.
    Others are inferred."""
    on_new_column: OnNewColumn = OnNewColumn.ADD
    """What to do with fields that are new."""
    deletes: Deletes = Deletes.HARD
    """What a full refresh does with rows that have vanished from the source."""
    allow_empty: bool = False
    """Whether a full refresh without any record may empty a table that has rows; or no parent's children are there."""
    http: HttpStream = HttpStream()
    """What to ask an HTTP source for."""
    max_rejected: int = Field(default=1000, ge=0)
    """Most records of one pass that may be rejected. With more, the run fails. So it does if none is written."""

    @field_validator("primary_key", mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fitting(self) -> Stream:
        if self.mode is Mode.INCREMENTAL and not self.primary_key:
            raise ValueError("primary_key: needed to replace records; without one use mode: append or full_refresh")
        if len(set(self.primary_key)) < len(self.primary_key):
            raise ValueError("primary_key: names a field twice")
        if self.lookback and not self.cursor:
            raise ValueError("lookback: needs a cursor")
        if self.mode is Mode.FULL_REFRESH and not self.primary_key and self.deletes is not Deletes.HARD:
            raise ValueError(f"deletes: {self.deletes} needs a primary_key, which tells what has vanished")
        if self.mode is not Mode.FULL_REFRESH and "deletes" in self.model_fields_set:
            raise ValueError("deletes: only a full refresh sees what has vanished; mode: full_refresh")
        if self.mode is not Mode.FULL_REFRESH and self.parent is None and self.allow_empty:
            raise ValueError("allow_empty: it is for mode: full_refresh, and for streams with a parent")
        if self.http.since is not None and not self.cursor:
            raise ValueError("http.since: needs a cursor")
        for wanted in sorted(self.http.fields_of_parent):
            if not any(f"{wanted}.".startswith(f"{field}.") for field in (self.parent.fields if self.parent else ())):
                raise ValueError(f"http: {{parent.{wanted}}} needs {wanted!r} among the fields of `parent`")
        if any(self.columns.get(path) is Kind.JSON for path in self.primary_key):
            raise ValueError("columns: a field of the primary_key cannot be json")
        return self

    @property
    def table_name(self) -> str:
        """The table's name, without the prefix of the destination."""
        return self.table or self.name


class DatabaseDestination(Exact):
    """Tables of a database."""

    connection: Name
    """The name that `CELERIAC_SYNC_CONNECTIONS` gives to the database."""
    database_schema: SqlName | None = Field(default=None, alias="schema")
    """The schema of the tables. Default: the connection's own."""
    table_prefix: Annotated[str, StringConstraints(max_length=30, pattern=r"^[^\x00-\x1f%`]*$")] = ""
    """What the names of all tables begin with."""


class FileDestination(Exact):
    """Files of the run's job, `<stream>-<number>.jsonl.gz` or `.parquet`."""

    files: Literal["jsonl", "parquet"]
    """Their format."""
    records: int = Field(default=20_000, ge=1, le=1_000_000)
    """Most records of one file. A run that is killed goes on after the last file."""


class PythonSource(Exact):
    """A source that the application has, made with `@app.sync_source`."""

    python: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Its name."""
    parameters: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """Its arguments."""


def _kind_of_source(given: Any) -> str:
    """A source of Python has its name in `python`; all others are HTTP."""
    if isinstance(given, Mapping):
        return "python" if "python" in given else "http"
    return "python" if isinstance(given, PythonSource) else "http"


def _kind_of_destination(given: Any) -> str:
    """Files have their format in `files`; all others are a database's tables."""
    if isinstance(given, Mapping):
        return "files" if "files" in given else "database"
    return "files" if isinstance(given, FileDestination) else "database"


class Sync(Exact):
    """Reads streams of a source into a destination."""

    name: Name
    """Its name in the API, in commands and messages. Default: that of its file."""
    source: Annotated[
        Annotated[HttpSource, Tag("http")] | Annotated[PythonSource, Tag("python")], Discriminator(_kind_of_source)
    ]
    """Where records come from."""
    streams: tuple[Stream, ...] = Field(min_length=1, max_length=200)
    """What to read."""
    destination: Annotated[
        Annotated[DatabaseDestination, Tag("database")] | Annotated[FileDestination, Tag("files")],
        Discriminator(_kind_of_destination),
    ]
    """Where records go."""
    schedule: Schedule | None = None
    """When a run begins by itself, as beat enqueues it."""

    @model_validator(mode="after")
    def _whole(self) -> Sync:
        names = [stream.name.casefold() for stream in self.streams]
        tables = [stream.table_name.casefold() for stream in self.streams]
        for kind, given in (("name", names), ("table", tables)):
            if twice := next((one for one in given if given.count(one) > 1), None):
                raise ValueError(f"streams: two have the {kind} {twice!r}")
        for stream in self.streams:
            self._check_parent(stream)
            if "http" in stream.model_fields_set and not isinstance(self.source, HttpSource):
                raise ValueError(f"streams.{stream.name}.http: the source is no HTTP API")
            if f"{self._prefix}{stream.table_name}".casefold().startswith("celeriac_"):
                raise ValueError(
                    f"streams.{stream.name}.table: names with celeriac_ are those of Celeriac's own tables"
                )
            if stream.table_name.casefold().endswith(BESIDE):
                raise ValueError(
                    f"streams.{stream.name}.table: names that end with {BESIDE} are those beside a refresh"
                )
            if len(f"{self._prefix}{stream.table_name}".encode()) > _LONGEST_TABLE:
                raise ValueError(f"streams.{stream.name}.table: more than {_LONGEST_TABLE} bytes with the table_prefix")
            if isinstance(self.destination, FileDestination) and stream.mode is Mode.FULL_REFRESH:
                raise ValueError(f"streams.{stream.name}.mode: files cannot be refreshed; use incremental or append")
        return self

    def tables(self, *modes: Mode) -> set[tuple[str, str, str]]:
        """Return the tables of streams of these modes, or of all: connection, schema, and name in small letters."""
        to = self.destination
        if isinstance(to, FileDestination):
            return set()
        return {
            (to.connection, to.database_schema or "", f"{to.table_prefix}{stream.table_name}".casefold())
            for stream in self.streams
            if stream.mode in (modes or Mode)
        }

    @property
    def _prefix(self) -> str:
        return "" if isinstance(self.destination, FileDestination) else self.destination.table_prefix

    def _check_parent(self, stream: Stream) -> None:
        if stream.parent is None:
            return
        parent = next((other for other in self.streams if other.name == stream.parent.stream), None)
        if parent is None or parent.name == stream.name:
            raise ValueError(f"streams.{stream.name}.parent.stream: no other stream is named {stream.parent.stream!r}")
        if parent.parent is not None:
            raise ValueError(
                f"streams.{stream.name}.parent.stream: {parent.name!r} has a parent itself, which is too deep"
            )
        if not parent.primary_key:
            raise ValueError(f"streams.{stream.name}.parent.stream: {parent.name!r} needs a primary_key")

    def stream(self, name: str) -> Stream | None:
        """Return the stream of that name."""
        return next((stream for stream in self.streams if stream.name == name), None)

    def fields_of_parents(self, name: str) -> tuple[str, ...]:
        """Return the fields of a stream that its children need; () if it has none."""
        return tuple(
            dict.fromkeys(
                field
                for child in self.streams
                if child.parent is not None and child.parent.stream == name
                for field in child.parent.fields
            )
        )

    def in_order(self) -> list[Stream]:
        """Return its streams, parents before their children."""
        return sorted(self.streams, key=lambda stream: stream.parent is not None)

    def fingerprint(self, stream: Stream) -> str:
        """Return what changes when the pages of a stream may change: then a pass begins anew."""
        decisive = {"cursor", "lookback", "parent", "mode", "primary_key", "http"}
        said = self.source.model_dump_json(exclude=_HOW) + stream.model_dump_json(include=decisive)
        return sha256(said.encode()).hexdigest()

    def origin(self, stream: Stream) -> str:
        """Return what changes when a stream's cursor no longer says where to go on: it is of other records then."""
        source, http = self.source, stream.http
        records = {
            "source": source.model_dump(
                mode="json", include={"url", "params", "headers", "auth", "python", "parameters"}
            ),
            "stream": http.model_dump(mode="json", include={"path", "params", "since"}),
            "cursor": [stream.cursor, stream.parent and stream.parent.stream],
        }
        return sha256(json.dumps(records, sort_keys=True, default=str).encode()).hexdigest()
