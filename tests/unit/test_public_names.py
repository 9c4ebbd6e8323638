import subprocess
import sys

import pytest

import celeriac


def test_every_public_name_is_there() -> None:
    missing = [name for name in celeriac.__all__ if getattr(celeriac, name, None) is None]
    assert missing == []
    assert set(celeriac.__all__) <= set(dir(celeriac))


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
    families = {"aiosmtplib", "alembic", "jinja2", "obstore", "sqlalchemy"}
    programs = {"click_repl", "fastapi", "flower", "prompt_toolkit", "starlette", "tornado", "uvicorn"}
    assert _modules_after(ready) & (families | programs) == set()


def _modules_after(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(celeriac, "no_such_name")
