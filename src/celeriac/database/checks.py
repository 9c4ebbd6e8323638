"""Checks of databases of the user's own in `celeriac doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import SecretStr

from celeriac.core.errors import CeleriacError
from celeriac.core.findings import Finding, fail, ok
from celeriac.database.engine import Database

_PATIENCE_S = 5.0


async def check_connections(urls: Mapping[str, SecretStr], *, family: str, setting: str) -> list[Finding]:
    """Report for each named connection whether it answers. Create nothing in it.

    Args:
        urls: the connections' URLs.
        family: whose they are, for the findings' titles.
        setting: the variable that names them, for advice.
    """
    return await asyncio.gather(*(_check(f"{family}: {name}", urls[name], setting) for name in sorted(urls)))


async def _check(title: str, url: SecretStr, setting: str) -> Finding:
    advice = f"correct {setting}, or see to it that the database answers"
    try:
        database = Database(url.get_secret_value(), is_ours=False)
        query = "PRAGMA schema_version" if database.dialect == "sqlite" else "SELECT 1"  # which reads no file
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await database.look(lambda connection: connection.exec_driver_sql(query).scalar_one())
        finally:
            await database.dispose()
    except TimeoutError:
        return fail(title, f"no answer within {_PATIENCE_S:g} s", advice)
    except CeleriacError as error:
        return fail(title, str(error), advice)
    return ok(title, "answers")
