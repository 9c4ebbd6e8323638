"""The sources that callers may ask for by name: queries and functions of the application's own."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from celeriac.core import extras
from celeriac.core.faults import message
from celeriac.families.reports.errors import ReportInvalid, SourceInvalid
from celeriac.families.reports.sources.data import Data, Patience
from celeriac.families.reports.sources.rows import read_function
from celeriac.families.reports.sources.sql_text import parse, why_no_select

#: The types of parameters that a query's file or a request may name.
TYPES: Mapping[str, type] = {
    "text": str,
    "integer": int,
    "decimal": Decimal,
    "float": float,
    "boolean": bool,
    "date": date,
    "datetime": datetime,
    "time": time,
}
_EXACT = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True)
_LONGEST_NAME = 100

Connections = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSource:
    """A source with a name. `parameters` is a model of what callers may choose."""

    name: str
    kind: str
    about: str
    parameters: type[BaseModel]

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with their types.

        Raises:
            ReportInvalid: one is missing, unknown, or of another type.
        """
        try:
            return dict(self.parameters.model_validate(given))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, ("source", "parameters", *fault["loc"])))
            raise ReportInvalid(place, fault["msg"]) from None

    def read(
        self, parameters: Mapping[str, Any], connections: Connections, patience: Patience
    ) -> AbstractAsyncContextManager[Data]:
        """Give the rows."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySource(NamedSource):
    """A query on a named connection."""

    sql: str
    connection: str

    def read(
        self, parameters: Mapping[str, Any], connections: Connections, patience: Patience
    ) -> AbstractAsyncContextManager[Data]:
        return read_query(self.connection, self.sql, parameters, connections, patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSource(NamedSource):
    """A function of the application, which yields rows."""

    function: Callable[..., Any]

    def read(
        self, parameters: Mapping[str, Any], connections: Connections, patience: Patience
    ) -> AbstractAsyncContextManager[Data]:
        return read_function(self.name, self.function(**parameters))


@asynccontextmanager
async def read_query(
    name: str, sql: str, parameters: Mapping[str, Any], connections: Connections, patience: Patience
) -> AsyncGenerator[Data]:
    """Run a query on the connection `name`.

    Raises:
        SourceInvalid: there is no such connection.
        SourceUnavailable: it does not answer.
        QueryFailed: the database refuses the query, or stops it.
    """
    url = connections.get(name)
    if url is None:
        known = ", ".join(sorted(connections)) or "there are none"
        raise SourceInvalid(f"no connection is named {name!r}; CELERIAC_REPORTS_CONNECTIONS names them: {known}")
    if url.startswith("sqlite:"):
        from celeriac.families.reports.sources.sqlite import read_sqlite

        reading = read_sqlite(name, url, sql, parameters, patience)
    else:
        require_driver(name)
        from celeriac.families.reports.sources.postgres import read_postgres

        reading = read_postgres(name, url, sql, parameters, patience)
    async with reading as data:
        yield data


def require_driver(name: str) -> None:
    """
    Raises:
        SourceInvalid: the driver of Postgres is not installed.
    """
    if extras.absent(["asyncpg"]):
        raise SourceInvalid(f"connection {name}: Postgres needs asyncpg: {extras.advice('celeriac[postgres]')}")


@dataclass(slots=True)
class Sources:
    """All named sources of an application."""

    _named: dict[str, NamedSource] = field(default_factory=dict[str, NamedSource])

    def __iter__(self) -> Any:
        return iter(sorted(self._named.values(), key=lambda source: source.name))

    def get(self, name: str) -> NamedSource:
        """Return the source of that name.

        Raises:
            ReportInvalid: there is none.
        """
        found = self._named.get(name)
        if found is None:
            raise ReportInvalid(
                "source.name",
                f"no source is named {name[:_LONGEST_NAME]!r}; "
                "`celeriac report sources` and GET /reports/sources list them",
            )
        return found

    def add(self, source: NamedSource) -> None:
        """
        Raises:
            SourceInvalid: the name is taken, or cannot be one.
        """
        if source.name in self._named:
            raise SourceInvalid(f"two sources of reports are named {source.name!r}")
        if not source.name or len(source.name) > _LONGEST_NAME or not source.name.isprintable():
            raise SourceInvalid(f"{source.name[:_LONGEST_NAME]!r} cannot be the name of a source")
        self._named[source.name] = source


def query_source(
    name: str,
    sql: str,
    *,
    connection: str,
    types: Mapping[str, type] | None = None,
    defaults: Mapping[str, Any] | None = None,
    about: str = "",
) -> QuerySource:
    """Make a source of a query. Parameters without a type are text; those with a default may be left out.

    Raises:
        SourceInvalid: it is no SELECT; or a type or a default is given for what is no parameter of it.
    """
    if fault := why_no_select(sql):
        raise SourceInvalid(f"query {name}: {fault}")
    used = parse(sql).parameters
    types, defaults = types or {}, defaults or {}
    for given in (*types, *defaults):
        if given not in used:
            raise SourceInvalid(f"query {name}: it has no parameter :{given}")
    fields: dict[str, Any] = {key: (types.get(key, str), Field(default=defaults.get(key, ...))) for key in used}
    model = create_model(name, __config__=_EXACT, **fields)
    return QuerySource(name=name, kind="query", about=about, parameters=model, sql=sql, connection=connection)


def function_source(function: Callable[..., Any], name: str | None = None) -> FunctionSource:
    """Make a source of a function. Its parameters are those that callers may choose; it yields rows.

    Raises:
        SourceInvalid: a parameter has no annotation.
    """
    called = name or str(getattr(function, "__name__", ""))
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SourceInvalid(f"source {called}: parameter {parameter} cannot be given by name")
        if parameter.name not in hints:
            raise SourceInvalid(f"source {called}: parameter {parameter.name} needs an annotation")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    model = create_model(called, __config__=_EXACT, **fields)
    about = inspect.getdoc(function) or ""
    return FunctionSource(
        name=called, kind="function", about=about.split("\n\n")[0], parameters=model, function=function
    )


def queries_in(folder: Path) -> list[QuerySource]:
    """Read the queries of a folder, `NAME.sql`. Comments at their beginning say what they need:

        -- connection: shop
        -- about: Orders of a time
        -- parameter: since date
        -- parameter: country text = DE

    Raises:
        SourceInvalid: a file is no text, or a comment is not understood, or names no type; or there is no connection.
    """
    return [_query_in(path) for path in sorted(folder.glob("*.sql"))]


def _query_in(path: Path) -> QuerySource:
    try:
        sql = path.read_text(encoding="utf-8-sig")  # some editors put a mark before the text
    except (OSError, UnicodeError) as error:
        raise SourceInvalid(f"{path}: cannot be read as UTF-8: {error}") from None
    told: dict[str, str] = {}
    types: dict[str, type] = {}
    defaults: dict[str, Any] = {}
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        key, colon, value = (part.strip() for part in line[2:].partition(":"))
        if not colon or key not in ("connection", "about", "parameter"):
            continue
        if key != "parameter":
            told[key] = value
            continue
        declared, has_default, default = (part.strip() for part in value.partition("="))
        name, _, kind = declared.partition(" ")
        if kind.strip() not in TYPES:
            raise SourceInvalid(f"{path}: parameter {name}: name one of the types {', '.join(TYPES)}")
        types[name] = TYPES[kind.strip()]
        if has_default:
            defaults[name] = default
    if "connection" not in told:
        raise SourceInvalid(f"{path}: its first lines name no connection: -- connection: NAME")
    for name in parse(sql).parameters:
        if name not in types:
            raise SourceInvalid(f"{path}: parameter :{name} is not declared; add a line `-- parameter: {name} text`")
    source = query_source(
        path.stem, sql, connection=told["connection"], types=types, defaults=defaults, about=told.get("about", "")
    )
    try:  # defaults of a file are text, and become what the parameters are
        source.parameters.model_validate({**{key: _example(kind) for key, kind in types.items()}, **defaults})
    except ValidationError as error:
        fault = error.errors()[0]
        raise SourceInvalid(f"{path}: parameter {fault['loc'][0]}: its default is wrong: {message(fault)}") from None
    return source


def _example(kind: type) -> Any:
    return {str: "", bool: False, date: "2000-01-01", datetime: "2000-01-01T00:00", time: "00:00"}.get(kind, 0)
