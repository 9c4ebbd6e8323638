"""The pages for people: complete without another host, and links for whoever asks."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

import celeriac.http.pages
from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.core.errors import ConfigurationError
from celeriac.http.pages import add_docs
from tests.support.local_client import local_client

#: Of swagger-ui-dist 5.35.0, as npm has it: https://www.npmjs.com/package/swagger-ui-dist
SWAGGER_UI = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
ELSEWHERE = re.compile(r"""(?:(?:href|src|action|data-openapi)=|url\()\s*["']?([^"'\s>)]+)""")


def settings_in(folder: Path) -> Settings:
    return Settings(broker_url=SecretStr("redis://127.0.0.1:1"), data_dir=folder)


def client_of(api: FastAPI, root_path: str = "") -> TestClient:
    return local_client(api, "http://localhost", root_path)


@pytest.fixture
def client(api: FastAPI) -> TestClient:
    return client_of(api)


def test_swagger_ui_is_what_its_makers_published() -> None:
    folder = Path(celeriac.http.pages.__file__).parent / "static" / "swagger-ui"
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == SWAGGER_UI


@pytest.mark.parametrize("root_path", ["", "/api/v1"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_needs_no_other_host(api: FastAPI, root_path: str, path: str) -> None:
    client = client_of(api, root_path)
    page = client.get(root_path + path, headers=HTML)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    todo, seen = ELSEWHERE.findall(page.text), set[str]()
    assert todo
    for reference in todo:
        assert reference.startswith(f"{root_path}/"), reference
        if reference in seen or not re.search(r"\.(?:js|css|png|json)$", reference):
            continue
        seen.add(reference)
        answer = client.get(reference)
        assert answer.status_code == 200, reference
        if reference.endswith(".css"):
            todo += [urljoin(reference, found) for found in ELSEWHERE.findall(answer.text) if found[:5] != "data:"]
    assert len(seen) >= 2


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_browser_is_told_to_ask_no_other_host(client: TestClient, path: str) -> None:
    policy = client.get(path, headers=HTML).headers["content-security-policy"]
    sources = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert sources["default-src"] == "'none'"
    assert sources["script-src"] == sources["connect-src"] == "'self'"
    assert {word for value in sources.values() for word in value.split()} <= {
        "'none'",
        "'self'",
        "'unsafe-inline'",
        "data:",
    }


def test_the_documentation_shows_this_api(client: TestClient) -> None:
    described = re.search(r'data-openapi="([^"]+)"', client.get("/docs").text)
    assert described
    assert client.get(described[1]).json()["info"]["title"] == "Celeriac"


def test_a_person_gets_links_and_a_program_gets_json(client: TestClient) -> None:
    page = client.get("/", headers=HTML)
    links = client.get("/", headers={"Accept": "application/json"}).json()["links"]
    assert links == {"docs": "/docs", "jobs": "/jobs", "health": "/health/ready", "openapi": "/openapi.json"}
    assert client.get("/").json() == client.get("/", headers={"Accept": "*/*"}).json()
    for path in ("/docs", "/jobs", "/health/ready"):
        assert f'href="{path}"' in page.text
    assert page.headers["vary"] == "Accept"
    assert re.search(r'<html lang="en">.*<main>.*<h1>.*<nav aria-label=', page.text, re.DOTALL)


def test_flower_is_linked_where_it_runs(tmp_path: Path) -> None:
    client = client_of(create_api(settings_in(tmp_path)))
    (tmp_path / "stack.json").write_text(json.dumps({"pid": 1, "api": "x", "flower": "http://127.0.0.1:5555"}))
    assert client.get("/").json()["links"]["flower"] == "http://127.0.0.1:5555"
    assert 'href="http://127.0.0.1:5555"' in client.get("/", headers=HTML).text
    for content in ('{"flower": null}', '{"flower": "javascript:alert(1)"}', "[]", "{", '{"flower": 1}'):
        (tmp_path / "stack.json").write_text(content)
        assert "flower" not in client.get("/").json()["links"]


def test_with_keys_the_pages_hold_no_secret(tmp_path: Path) -> None:
    secret = "s" * 32
    settings = settings_in(tmp_path).model_copy(update={"api_keys": (SecretStr(f"ops:{secret}"),)})
    client = client_of(create_api(settings))
    for path in ("/", "/docs", "/openapi.json"):
        page = client.get(path, headers=HTML)
        assert page.status_code == 200
        assert secret not in page.text
    assert client.get("/jobs").status_code == 401


def test_an_application_of_ones_own_has_the_page_where_it_asks_for_it() -> None:
    api = FastAPI(title="<Shop>", docs_url=None, redoc_url=None)
    add_docs(api, "/help")
    page = client_of(api).get("/help")
    assert "&lt;Shop&gt;" in page.text
    assert client_of(api).get("/help/files/docs.js").status_code == 200
    with pytest.raises(ConfigurationError, match="docs_url=None"):
        add_docs(FastAPI())
