"""Reports: rows of a database, a file or a function, as PDF, XLSX, CSV, Parquet and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload

from celeriac.core.findings import Finding
from celeriac.families.reports.settings import ReportsSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.core.spec import Call
    from celeriac.demo import Demo
    from celeriac.families.reports.request import ReportRequest

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["ReportsFamily", "ReportsSettings"]


class ReportsFamily(JobFamily):
    """The reports family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "reports"
    command = "report"
    summary = "Reports of databases, files and functions as PDF, XLSX, CSV, Parquet and HTML"
    extra = "celeriac[reports]"
    requires = ("typst", "reportlab", "xlsxwriter", "duckdb", "pypdfium2", "python_calamine", "obstore")
    settings_class: ClassVar[type[FamilySettings]] = ReportsSettings
    shortcuts: ClassVar[Mapping[str, str]] = {"report_source": "source", "report_query": "query"}

    def __init__(self, host: Host) -> None:
        from celeriac.families.reports.jobs import register
        from celeriac.families.reports.sources.named import Sources, queries_in

        self.host = host
        self.settings = cast(ReportsSettings, host.own)
        self.sources = Sources()
        for query in queries_in(self.settings.reports_queries) if self.settings.reports_queries else ():
            self.sources.add(query)
        self.job = register(host.app, self.sources, self.settings)
        host.app.when_complete(self._check_complete)
        host.app.when_complete(self._clear_scratch)

    def _check_complete(self) -> None:
        from celeriac.families.reports.checking import check_declared

        check_declared(self.host.app, self.job.name, self.sources, self.settings)

    def _clear_scratch(self) -> None:
        from celeriac.families.reports.limits import clear_scratch

        clear_scratch(self.settings.reports_scratch)

    @overload
    def source(self, function: F, /) -> F: ...
    @overload
    def source(self, /, *, name: str | None = None) -> Callable[[F], F]: ...

    def source(self, function: Any = None, /, *, name: str | None = None) -> Any:
        """Make a function a source of reports, which callers may ask for by its name:

            @reports.source
            async def orders(since: date) -> AsyncIterator[dict[str, Any]]: ...

        It yields or returns rows: dicts, dataclasses, pydantic models, or tuples after a first one of names. Its
        parameters need annotations: what callers give is validated against them.

        Raises:
            SourceInvalid: the function cannot be a source, or the name is taken.
        """
        from celeriac.families.reports.sources.named import function_source

        def add(decorated: F) -> F:
            self.sources.add(function_source(decorated, name))
            return decorated

        return add if function is None else add(function)

    def query(
        self,
        name: str,
        sql: str,
        *,
        connection: str,
        types: Mapping[str, type] | None = None,
        defaults: Mapping[str, Any] | None = None,
        about: str = "",
    ) -> None:
        """Make a query on a named connection a source of reports. `:name` in it stands for a parameter.

        `types` are those of the parameters (default: text); those with one of the `defaults` may be left out.

        Raises:
            SourceInvalid: the name is taken, or a type or a default is given for what is no parameter.
        """
        from celeriac.families.reports.sources.named import query_source

        self.sources.add(query_source(name, sql, connection=connection, types=types, defaults=defaults, about=about))

    def call(self, request: ReportRequest | Mapping[str, Any]) -> Call[Any]:
        """Return the call of a report's job, for `app.schedule`, `app.client.submit` or `job.fan_out`.

        Raises:
            InvalidArguments: the request is wrong, or has a password that is not sealed.
        """
        return self.job.call(cast(Any, request))

    async def sealed(self, request: ReportRequest | Mapping[str, Any]) -> ReportRequest:
        """Return the request with its password encrypted, as it may stand in a job's arguments.

        Raises:
            ValidationError: the request is wrong.
            StorageUnavailable: the key, which is in the storage, cannot be read.
        """
        from celeriac.families.reports.passwords import sealed
        from celeriac.families.reports.request import ReportRequest

        return await sealed(ReportRequest.model_validate(request), self.host.app.storage)

    @classmethod
    def commands(cls) -> Typer:
        from celeriac.families.reports.cli import report

        return report

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        from celeriac.families.reports.checks import check_connections

        return await check_connections(own)

    @classmethod
    def demo(cls) -> type[Demo]:
        from celeriac.families.reports.demo import ReportsDemo

        return ReportsDemo

    def router(self, **options: Any) -> APIRouter:
        from celeriac.families.reports.api import create_reports_router

        return create_reports_router(self.host, self.job, self.sources, **options)
