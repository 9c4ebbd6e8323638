"""Which application the API serves."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from celeriac import ConfigurationError, Settings
from celeriac.asgi import create_api


def paths(api: FastAPI) -> set[str]:
    return set(api.openapi()["paths"])


def test_the_built_in_application_is_served_with_its_families(api: FastAPI) -> None:
    served = paths(api)
    assert {"/jobs/celeriac.echo", "/email/mailings"} <= served
    assert "/jobs/celeriac.email.mailing" not in served, "a mailing is submitted as such, and not as a bare job"


def test_an_application_of_ones_own_is_served_with_its_own_jobs_only(tmp_path: Path) -> None:
    served = paths(create_api(Settings(data_dir=tmp_path, app="tests.support.own_app:app")))
    assert "/jobs/own.add" in served
    assert not [path for path in served if "email" in path or "celeriac" in path]


@pytest.mark.parametrize("name", ["tests.support.own_app:nothing", "tests.support.nowhere:app", "nothing", ":", ""])
def test_an_application_that_is_not_there_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="CELERIAC_APP="):
        create_api(Settings(data_dir=tmp_path, app=name))


def test_what_is_no_application_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a str and no Celery application"):
        create_api(Settings(data_dir=tmp_path, app="tests.support.own_app:not_an_app"))
