"""Loading the application a process is for: each way in which it can be wrong is one line that says what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from celeriac.application import load_app
from celeriac.core.errors import ApplicationNotLoaded
from celeriac.core.exits import ExitCode, exit_code
from celeriac.core.parent_protocol import Refused, decode
from celeriac.engine.start import loading
from celeriac.launch.supervision.log_output import LONGEST_LINE

GOOD = "from celery import Celery\napp = Celery('x')\napi = lambda scope: None\ntext = 'text'\n"
#: What a module may do when it is imported, and what is then said of it.
RAISING = {
    "import missing_package": "ModuleNotFoundError: No module named 'missing_package' (broken.py, line 1)",
    "from json import nothing": "ImportError: cannot import name 'nothing' from 'json'",
    "x = (": "SyntaxError: '(' was never closed (broken.py, line 1)",
    "import sys; sys.exit('no config')": "SystemExit: no config (broken.py, line 1)",
    "import sys; sys.nothing": "AttributeError: module 'sys' has no attribute 'nothing' (broken.py, line 1)",
    "import json\n\njson.loads('{')": "JSONDecodeError: Expecting property name",
    "class Own(BaseException): pass\nraise Own('mine')": "Own: mine (broken.py, line 2)",
    "raise ExceptionGroup('many', [ValueError('one')])": "ExceptionGroup: many (1 sub-exception) (broken.py, line 1)",
}
LOADERS = (loading.load, loading.load_with_tasks, loading.load_asgi, load_app)

Write = Callable[[str, str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(name: str, source: str) -> str:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("source", RAISING)
def test_whatever_an_import_raises_is_one_line_with_its_place(module: Write, source: str, load: Callable[..., object]):
    module("broken", source)
    with pytest.raises(ApplicationNotLoaded) as caught:
        load("broken:app")
    assert RAISING[source] in str(caught.value)
    assert "broken:app" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert exit_code(caught.value) is ExitCode.APPLICATION


def test_the_traceback_has_the_users_lines_and_none_of_those_that_import(module: Write) -> None:
    module("deep", "import broken")
    module("broken", "def fail():\n    raise ValueError('here')\n\nfail()\n")
    with pytest.raises(ApplicationNotLoaded) as caught:
        loading.load("deep:app")
    assert "(broken.py, line 2)" in str(caught.value)
    lines = [line for line in caught.value.traceback.splitlines() if line.startswith("  File")]
    assert ["deep.py" in lines[0], "broken.py" in lines[1], "broken.py" in lines[2]] == [True] * 3
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nope:app", "there is no module 'nope'"),
        ("nope.deeper:app", "there is no module 'nope.deeper'"),
        ("good.deeper:app", "there is no module 'good.deeper'"),
        ("nope.app", "there is no module 'nope'"),
        ("good:nope", "'good' has no 'nope'; it has 'app'"),
        ("good.nope", "'good' has no 'nope'; it has 'app'"),
        ("good:api", "is a function and no Celery application"),
        ("good:text", "is a str and no Celery application"),
        ("package", "ModuleNotFoundError: No module named 'missing_package' (celery.py, line 1)"),
    ],
)
def test_an_address_that_is_wrong_says_what_is_there(module: Write, address: str, message: str) -> None:
    module("good", GOOD)
    module("package.__init__", "")
    module("package.celery", "import missing_package")
    with pytest.raises(ApplicationNotLoaded) as caught:
        loading.load(address)
    assert str(caught.value).startswith(f"CELERIAC_APP={address} (or --app): ")
    assert message in str(caught.value)


@pytest.mark.parametrize("address", ["good:app", "good.app", "good", "package", "package.celery:app"])
def test_celerys_ways_to_name_an_application_work(module: Write, address: str) -> None:
    module("good", GOOD)
    module("package.__init__", "")
    module("package.celery", GOOD)
    assert isinstance(loading.load(address), Celery)


def test_an_application_without_typed_jobs_is_no_application_of_ours(module: Write) -> None:
    module("good", GOOD)
    with pytest.raises(ApplicationNotLoaded, match=r"is a Celery\. Only a Celeriac application"):
        load_app("good:app")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("good:apy", "'good' has no 'apy'"),
        ("good:text", "is a str and no ASGI application"),
        ("good:app", "is a Celery and no ASGI application"),
        ("good", "give it as module:attribute"),
        ("good:text.nope", "'str' has no 'nope'"),
        ("web:apy", "'web' has no 'apy'; it has 'api'"),
    ],
)
def test_an_api_that_is_wrong_says_so(module: Write, address: str, message: str) -> None:
    module("good", GOOD)
    module("web", "from fastapi import FastAPI\napi = FastAPI()\n")
    with pytest.raises(ApplicationNotLoaded) as caught:
        loading.load_asgi(address)
    assert str(caught.value).startswith(f"--api {address}: ")
    assert message in str(caught.value)


def test_a_module_of_tasks_that_cannot_be_imported_counts_as_the_application(module: Write) -> None:
    module("good", "from celery import Celery\napp = Celery('x', include=['tasks'])\n")
    module("tasks", "import missing_package")
    with pytest.raises(ApplicationNotLoaded, match=r"No module named 'missing_package' \(tasks.py, line 1\)"):
        loading.load_with_tasks("good:app")


@pytest.mark.parametrize("character", ["m", "\x1b", "\N{GRINNING FACE}"])
def test_a_parent_is_told_on_one_bounded_line(character: str) -> None:
    read_end, write_end = os.pipe()
    with pytest.raises(SystemExit) as caught:
        loading.leave(ApplicationNotLoaded(character * 100_000, character * 100_000), write_end)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        line = told.read()
    assert (caught.value.code, line.count("\n"), len(line.encode()) < LONGEST_LINE) == (ExitCode.APPLICATION, 1, True)
    refusal = decode(line)
    assert isinstance(refusal, Refused)
    assert exit_code(refusal.as_error()) is ExitCode.APPLICATION
    assert character in refusal.as_error().traceback
