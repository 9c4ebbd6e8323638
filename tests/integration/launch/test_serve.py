"""uvicorn's own options that say where an application is, and with what environment it is imported."""

from __future__ import annotations

from pathlib import Path

from tests.support.running import running

WEB = """
import os
from fastapi import FastAPI
def api():
    return FastAPI(title=os.environ["SHOP"])
api()
"""


async def test_an_application_is_found_where_uvicorn_is_told_to_look(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "web.py").write_text(WEB)
    (tmp_path / "shop.env").write_text("SHOP=shop\n")
    options = ["--factory", "web:api", "--app-dir", "src", "--env-file", "shop.env", "--port", "0"]
    async with running(["-m", "celeriac.launch.programs.serve", *options], cwd=tmp_path) as program:
        await program.printed("Uvicorn running on")
