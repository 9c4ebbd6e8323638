"""Checks of databases of the user's own in `celeriac doctor`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from celeriac.core.errors import CeleriacError
from celeriac.core.findings import Finding, fail, ok
from celeriac.database.engine import Database
from celeriac.database.url import parse_database_url

_PATIENCE_S = 5.0


async def check_connections(
    urls: Mapping[str, SecretStr], *, family: str, setting: str, may_create: bool = False
) -> list[Finding]:
    """Report for each named connection whether it answers. Create nothing in it.

    Args:
        urls: the connections' URLs.
        family: whose they are, for the findings' titles.
        setting: the variable that names them, for advice.
        may_create: whether the family creates an SQLite file that does not exist, in a folder that does.
    """
    checks = (_check(f"{family}: {name}", urls[name], setting, may_create) for name in sorted(urls))
    return await asyncio.gather(*checks)


async def _check(title: str, url: SecretStr, setting: str, may_create: bool) -> Finding:
    advice = f"correct {setting}, or see to it that the database answers"
    try:
        if may_create and (file := await asyncio.to_thread(_file_to_create, url)) is not None:
            if os.access(file.parent, os.W_OK | os.X_OK):
                return ok(title, f"{file} does not exist yet: the first run creates it")
            return fail(title, f"{file} does not exist, and cannot be created in {file.parent}", advice)
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


def _file_to_create(url: SecretStr) -> Path | None:
    """Return the SQLite file of a URL if it does not exist, but its folder does.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    parsed = parse_database_url(url.get_secret_value(), is_ours=False)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database.startswith("file:"):
        return None
    file = Path(parsed.database)
    return file if file.parent.is_dir() and not file.exists() else None
