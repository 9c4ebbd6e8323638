"""The checks of the named connections in `celeriac doctor`."""

from __future__ import annotations

from celeriac.core.errors import CeleriacError
from celeriac.core.findings import Finding, fail, ok
from celeriac.families.reports.reading import connections
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.sources.named import require_driver


async def check_connections(own: ReportsSettings) -> list[Finding]:
    """Report for each named connection whether it answers, and lets us read and nothing more."""
    return [await _check(name, url) for name, url in sorted(connections(own).items())]


async def _check(name: str, url: str) -> Finding:
    title = f"reports: {name}"
    try:
        if url.startswith("sqlite:"):
            from celeriac.families.reports.sources.sqlite import check_sqlite

            check_sqlite(name, url)
        else:
            require_driver(name)
            from celeriac.families.reports.sources.postgres import check_postgres

            await check_postgres(name, url)
    except CeleriacError as error:
        return fail(title, str(error), "correct CELERIAC_REPORTS_CONNECTIONS")
    return ok(title, "answers, for reading only")
