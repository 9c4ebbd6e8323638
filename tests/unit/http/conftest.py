from __future__ import annotations

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The API of the built-in application, made once: describing all its routes takes half a second."""
    return create_api(Settings(broker_url=SecretStr("redis://127.0.0.1:1"), data_dir=tmp_path_factory.mktemp("api")))
