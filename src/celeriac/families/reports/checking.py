"""Checks what a caller asks for, before its job is accepted."""

from __future__ import annotations

import asyncio
from typing import Any

from celeriac.core.errors import InvalidArguments, InvalidFileName, UnknownUpload
from celeriac.core.spec import Call
from celeriac.engine.app import JobApp
from celeriac.families.reports import layouts
from celeriac.families.reports.errors import ReportInvalid, SourceInvalid
from celeriac.families.reports.outcome import EXAMPLE, ReportOutcome
from celeriac.families.reports.passwords import check_named
from celeriac.families.reports.reading import connections
from celeriac.families.reports.request import NamedRef, ReportRequest, RowsRef, SealedPassword, SqlRef, UploadRef
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.sources.named import QuerySource, Sources
from celeriac.families.reports.sources.rows import names_of
from celeriac.families.reports.sources.sql_text import why_no_select
from celeriac.families.reports.spool import unique_names
from celeriac.storage.names import checked_name


async def check_request(
    app: JobApp, sources: Sources, own: ReportsSettings, request: ReportRequest, *, owner: str | None
) -> None:
    """Check the source, the names and the job that follows. `owner` is the caller; None: an operator, who may more.

    Raises:
        ReportInvalid: names the fault.
    """
    if isinstance(request.source, SqlRef) and owner is not None and not own.reports_free_sql:
        raise ReportInvalid("source.sql", "callers may not send SQL; CELERIAC_REPORTS_FREE_SQL=true allows it")
    if isinstance(request.password, SealedPassword) and owner is not None:
        raise ReportInvalid("password.sealed", "callers give a password or a name; what is sealed is another's")
    if isinstance(request.source, UploadRef):
        await _check_upload(app, request.source, owner)
    await asyncio.to_thread(check_call, app, sources, own, request)


def check_call(app: JobApp, sources: Sources, own: ReportsSettings, request: ReportRequest) -> None:
    """Check all that the application itself knows, once it is complete. It blocks.

    Raises:
        ReportInvalid: names the fault.
    """
    source = request.source
    if isinstance(source, NamedRef):
        sources.get(source.name).checked(source.parameters)
    elif isinstance(source, SqlRef):
        if source.connection not in connections(own):
            raise ReportInvalid("source.connection", f"no connection is named {source.connection!r}")
        if fault := why_no_select(source.sql):
            raise ReportInvalid("source.sql", fault)
        source.typed()
    elif isinstance(source, RowsRef):
        layouts.check_named(request, unique_names(names_of(source.rows, source.columns)))
    layouts.check_alone(request, own)
    check_named(request, own.reports_passwords)
    for form in request.formats:
        try:
            checked_name(f"{request.file_name}.{form}")
        except InvalidFileName as error:
            raise ReportInvalid("file_name", str(error)) from None
    if request.then is not None:
        following_call(app, request, EXAMPLE)


def check_declared(app: JobApp, task: str, sources: Sources, own: ReportsSettings) -> None:
    """Check the queries' connections, and the reports that are scheduled. `task` is the name of the job of reports.

    Raises:
        SourceInvalid: a query or a schedule is wrong. The message names it.
    """
    known = connections(own)
    for source in sources:
        if isinstance(source, QuerySource) and source.connection not in known:
            named = ", ".join(sorted(known)) or "none"
            raise SourceInvalid(
                f"query {source.name}: no connection is named {source.connection!r}; "
                f"CELERIAC_REPORTS_CONNECTIONS names {named}"
            )
    for name, entry in app.schedules.items():
        if entry["task"] != task:
            continue
        try:
            check_call(app, sources, own, ReportRequest.model_validate(entry["kwargs"]["request"]))
        except ReportInvalid as error:
            raise SourceInvalid(f"schedule {name!r}: {error}") from None


async def _check_upload(app: JobApp, source: UploadRef, owner: str | None) -> None:
    try:
        upload = await app.storage.uploads.get(source.upload)
    except UnknownUpload:
        upload = None
    if upload is None or owner not in (None, upload.owner):
        raise ReportInvalid("source.upload", f"no upload with id {source.upload[:64]!r} is known")
    if not upload.is_complete:
        raise ReportInvalid("source.upload", f"the upload is not complete: {upload.offset:,} of {upload.size:,} bytes")


def following_call(app: JobApp, request: ReportRequest, outcome: ReportOutcome) -> Call[Any]:
    """Make the call of the job that follows the report.

    Raises:
        ReportInvalid: callers may not submit that job, or its arguments do not fit.
    """
    assert request.then is not None
    spec = app.specs.get(request.then.task)
    if spec is None or not spec.options.exposed:
        raise ReportInvalid("then.task", f"no job named {request.then.task!r} can be submitted")
    if "report" not in spec.signature.parameters:
        raise ReportInvalid("then.task", f"job {spec.name} has no parameter `report` for the result")
    try:
        return Call(spec, spec.encode((), {**request.then.arguments, "report": outcome.model_dump(mode="json")}))
    except InvalidArguments as error:
        fault = error.errors[0]
        place = ".".join(map(str, ("then", "arguments", *fault["loc"])))
        raise ReportInvalid(place, fault["msg"]) from None
