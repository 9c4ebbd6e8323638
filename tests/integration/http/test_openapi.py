"""The API's description: complete, consistent, and with each job's own arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from tests.support import http_jobs
from tests.support.api_server import api_of

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}

#: What people open in a browser: its refusals are pages as well.
PAGES = {("/email/unsubscribe/{token}", "404")}


@pytest.fixture(scope="module")
def settings(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of the module: each description is made once for all its tests."""
    return Settings(broker_url=SecretStr(valkey_url), data_dir=tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module", params=["built in", "own", "with keys"])
def document(request: pytest.FixtureRequest, settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of the built-in API, of one with the tests' jobs, and of one with keys."""
    if request.param in ("built in", "own"):
        return request.getfixturevalue(request.param.replace(" ", "_"))
    return _described(settings.model_copy(update={"api_keys": (SecretStr("ops:" + "x" * 16),)}))


@pytest.fixture(scope="module")
def built_in(settings: Settings) -> dict[str, Any]:
    return create_api(settings).openapi()


@pytest.fixture(scope="module")
def own(settings: Settings) -> dict[str, Any]:
    return _described(settings)


def _described(settings: Settings) -> dict[str, Any]:
    jobs = http_jobs.create(settings)
    try:
        return api_of(jobs.app).openapi()
    finally:
        jobs.app.close()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from nodes(part)


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [node["$ref"] for node in nodes(document) if "$ref" in node]
    assert references
    for reference in references:
        assert reference.startswith("#/components/schemas/")
        assert resolve(document, reference)


def test_the_document_keeps_the_rules_of_openapi(document: dict[str, Any]) -> None:
    """Those of OpenAPI 3.1 that are not FastAPI's alone to keep: ids, path parameters, responses."""
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= document["info"].keys()
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(document):
        assert method in METHODS
        parameters = operation.get("parameters", [])
        named = [(parameter["in"], parameter["name"]) for parameter in parameters]
        assert len(named) == len(set(named))
        in_path = {name for place, name in named if place == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        assert all(parameter["required"] for parameter in parameters if parameter["in"] == "path")
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            assert response["description"]
            assert not (status == "204" and response.get("content"))
            for content in response.get("content", {}).values():
                assert set(content) <= {"schema", "example", "examples", "encoding"}


def test_every_error_is_described_as_a_problem(document: dict[str, Any]) -> None:
    errors = [
        (path, status, response)
        for path, _, operation in operations(document)
        for status, response in operation["responses"].items()
        if status >= "400"
    ]
    assert errors
    for path, status, response in errors:
        if (path, status) in PAGES:
            assert list(response["content"]) == ["text/html"], (path, status)
            continue
        assert list(response["content"]) == ["application/problem+json"], (path, status)
        schema = response["content"]["application/problem+json"]["schema"]
        assert {"type", "title", "status", "detail"} <= set(schema["required"])


def test_keys_are_described_where_they_are_needed(settings: Settings) -> None:
    keys = (SecretStr("ops:" + "x" * 16),)
    document = create_api(settings.model_copy(update={"api_keys": keys})).openapi()
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    for path, _, operation in operations(document):
        is_signed = path.startswith("/email/inbound/")  # by a provider, with a secret of its own
        is_open = is_signed or path.startswith(("/health", "/links/", "/email/unsubscribe/"))  # a link is a permission
        assert ("security" in operation) == (not is_open), path
        assert ("401" in operation["responses"]) == (is_signed or not is_open), path


def test_no_keys_are_described_where_none_are_needed(built_in: dict[str, Any]) -> None:
    assert "securitySchemes" not in built_in["components"]
    assert not any("security" in operation for _, _, operation in operations(built_in))


def test_each_job_shows_its_own_arguments(own: dict[str, Any]) -> None:
    def schema(task: str) -> dict[str, Any]:
        body = own["paths"][f"/jobs/{task}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return resolve(own, body["$ref"]) if "$ref" in body else body

    add = schema("add")
    assert add["properties"]["a"]["type"] == "integer"
    assert add["properties"]["b"]["default"] == 1
    assert (add["required"], add["additionalProperties"]) == (["a"], False)
    invoice = resolve(own, schema("remind")["properties"]["invoice"]["$ref"])
    line = resolve(own, invoice["properties"]["lines"]["items"]["$ref"])
    assert line["properties"]["count"]["minimum"] == 1
    assert schema("celeriac.echo")["properties"]["seconds"]["maximum"] == 86_400
    assert "required" not in schema("celeriac.echo")


def test_a_body_is_required_where_an_argument_is(own: dict[str, Any]) -> None:
    def required(task: str) -> bool:
        return bool(own["paths"][f"/jobs/{task}"]["post"]["requestBody"].get("required"))

    assert (required("add"), required("celeriac.echo"), required("nothing")) == (True, False, False)


def test_a_job_s_docstring_describes_it(own: dict[str, Any]) -> None:
    operation = own["paths"]["/jobs/nothing"]["post"]
    assert (operation["summary"], operation["description"]) == (
        "Submit nothing",
        "Takes no arguments, and returns nothing.",
    )
    assert operation["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].endswith("/JobView")


def test_events_are_described_as_a_stream(own: dict[str, Any]) -> None:
    responses = own["paths"]["/jobs/{job_id}/events"]["get"]["responses"]
    assert responses["200"]["content"] == {"text/event-stream": {}}
    assert "204" in responses


def test_a_job_that_is_asked_to_stop_is_described_beside_one_that_is_cancelled(own: dict[str, Any]) -> None:
    responses = own["paths"]["/jobs/{job_id}/cancel"]["post"]["responses"]
    for status in ("200", "202"):
        assert responses[status]["content"]["application/json"]["schema"]["$ref"].endswith("/JobView")


@pytest.mark.parametrize(
    ("path", "name", "good", "bad"),
    [
        ("/jobs", "cursor", ["1790000000000_a.b:c-d_e"], ["", "1_", "_a", "1_a!", "1_a\n", "1" * 17 + "_a"]),
        ("/jobs/{job_id}/events", "last-event-id", ["", "0-0", "1790000000000-1"], ["1", "-1", "1-", "1-1\n", "a-b"]),
    ],
)
def test_where_to_go_on_is_described_with_its_pattern(
    own: dict[str, Any], path: str, name: str, good: list[str], bad: list[str]
) -> None:
    parameter = next(each for each in own["paths"][path]["get"]["parameters"] if each["name"] == name)
    matches = re.compile(parameter["schema"]["pattern"].replace("$", r"\Z")).search
    assert [value for value in good if not matches(value)] == []
    assert [value for value in bad if matches(value)] == []


def test_parameters_that_may_be_left_out_are_not_described_as_null(document: dict[str, Any]) -> None:
    """Neither a query nor a header nor a form can say it: `null` would be a text."""
    parts = [parameter for _, _, operation in operations(document) for parameter in operation.get("parameters", [])]
    parts += [
        operation["requestBody"]["content"]["multipart/form-data"]
        for _, _, operation in operations(document)
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    ]
    assert parts
    assert [part for part in parts if any(node.get("type") == "null" for node in nodes(part))] == []


def test_names_that_differ_in_their_marks_only_are_different_jobs(settings: Settings) -> None:
    jobs = http_jobs.create(settings)

    async def one(first: int) -> None: ...
    async def two(second: str) -> None: ...

    jobs.app.job(name="a.b")(one)
    jobs.app.job(name="a_b")(two)
    document = api_of(jobs.app).openapi()
    jobs.app.close()
    for path, argument in (("/jobs/a.b", "first"), ("/jobs/a_b", "second")):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(resolve(document, body["$ref"])["properties"]) == {argument}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_making_an_api_touches_nothing(tmp_path: Path) -> None:
    """The description can be made where nothing runs, in a build, say."""
    create_api(Settings(broker_url=SecretStr("redis://127.0.0.1:1"), data_dir=tmp_path / "data")).openapi()
    assert list(tmp_path.iterdir()) == []
