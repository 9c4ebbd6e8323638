"""What `celeriac doctor` says of databases of the user's own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac.database.checks import check_connections


async def said(url: str, *, may_create: bool) -> tuple[str, str]:
    given = {"shop": SecretStr(url)}
    (finding,) = await check_connections(
        given, family="sync", setting="CELERIAC_SYNC_CONNECTIONS", may_create=may_create
    )
    return finding.status.value, finding.detail


async def test_a_file_that_the_first_run_creates_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    status, detail = await said(f"sqlite:///{file}", may_create=True)
    assert (status, detail) == ("ok", f"{file} does not exist yet: the first run creates it")
    assert not file.exists(), "a check creates nothing"
    assert (await said(f"sqlite:///{file}", may_create=False))[0] == "fail"
    sqlite3.connect(file).close()
    assert await said(f"sqlite:///{file}", may_create=True) == ("ok", "answers")


@pytest.mark.parametrize("may_create", [True, False])
async def test_a_file_whose_folder_is_missing_is_a_fault(tmp_path: Path, may_create: bool) -> None:
    assert (await said(f"sqlite:///{tmp_path}/typo/new.db", may_create=may_create))[0] == "fail"
