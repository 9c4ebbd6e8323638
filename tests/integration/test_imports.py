"""What comes with an import, in a process of its own."""

import subprocess
import sys

import pytest


def test_nothing_is_imported_before_it_is_used() -> None:
    assert _modules_after("import celeriac") & {"celery", "fastapi", "pydantic", "redis"} == set()


@pytest.mark.slow
def test_a_worker_does_not_import_the_api() -> None:
    assert _modules_after("import celeriac.worker") & {"fastapi", "starlette", "uvicorn"} == set()


@pytest.mark.slow
def test_a_worker_imports_of_its_libraries_only_what_runs_jobs() -> None:
    ready = (
        "import celeriac.application, celeriac.engine.start.command, celeriac.engine.backend, celeriac.engine.consumer"
    )
    families = {"alembic", "jinja2", "obstore", "sqlalchemy"}
    programs = {"click_repl", "fastapi", "flower", "prompt_toolkit", "starlette", "tornado", "uvicorn"}
    assert _modules_after(ready) & (families | programs) == set()


def _modules_after(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


@pytest.mark.slow
def test_the_api_makes_one_application() -> None:
    program = (
        "import gc, celeriac.asgi as asgi\n"
        "def made(): return sum(issubclass(type(each), asgi.JobApp) for each in gc.get_objects())\n"
        "before = made(); api = asgi.create_api(); print(before, made())"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["0", "1"]
