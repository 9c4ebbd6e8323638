"""The command `celeriac` in the test's own process, as a user types it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from celeriac.cli import main


class Terminal:
    """Runs the commands of one family on one application; without `app`, such as need none."""

    def __init__(
        self, family: str, app: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._family = family
        self._app = app
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    async def run(self, *arguments: str, family: str = "") -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        of_app = ["--app", self._app] if self._app else []
        self._monkeypatch.setattr("sys.argv", ["celeriac", family or self._family, *arguments, *of_app])
        code = await asyncio.to_thread(self._run)
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    async def json(self, *arguments: str, family: str = "") -> Any:
        code, printed, errors = await self.run(*arguments, "--json", family=family)
        assert code == 0, errors
        return json.loads(printed)

    async def findings(self, *arguments: str, family: str = "") -> Any:
        """What a command has found, be it good or bad."""
        _, printed, _ = await self.run(*arguments, "--json", family=family)
        return json.loads(printed)

    def _run(self) -> int:
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)
