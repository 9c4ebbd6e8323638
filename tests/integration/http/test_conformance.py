"""The API does what its description says, for whatever schemathesis makes of that: https://schemathesis.readthedocs.io."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from tests.conftest import LEASE, on_database
from tests.support import typed_jobs
from tests.support.api_server import api_of, serving

DATABASE = 11


@pytest.fixture(scope="module")
def api_settings(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        broker_url=SecretStr(on_database(valkey_url, DATABASE)),
        data_dir=tmp_path_factory.mktemp("conformance"),
        smtp_url=SecretStr("smtp://127.0.0.1:1"),
        lease=LEASE,
    )


@pytest.fixture(scope="module")
def built_in(api_settings: Settings) -> Iterator[Any]:
    with serving(create_api(api_settings)) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def typed(api_settings: Settings) -> Iterator[Any]:
    app = typed_jobs.create(api_settings)
    with serving(api_of(app)) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    app.close()


def examples(count: int) -> Any:
    """So many for each operation, the same ones each time."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@schemathesis.pytest.from_fixture("built_in").parametrize()
@examples(10)
def test_the_built_in_api_does_what_it_says(case: schemathesis.Case) -> None:
    case.call_and_validate()


@schemathesis.pytest.from_fixture("typed").parametrize()
@examples(10)
def test_an_api_of_many_types_does_what_it_says(case: schemathesis.Case) -> None:
    case.call_and_validate()


@pytest.mark.slow
@schemathesis.pytest.from_fixture("built_in").parametrize()
@examples(300)
def test_the_built_in_api_does_what_it_says_in_many_cases(case: schemathesis.Case) -> None:
    case.call_and_validate()


@pytest.mark.slow
@schemathesis.pytest.from_fixture("typed").parametrize()
@examples(300)
def test_an_api_of_many_types_does_what_it_says_in_many_cases(case: schemathesis.Case) -> None:
    case.call_and_validate()
