"""The API does what its description says, for whatever schemathesis makes of that: https://schemathesis.readthedocs.io.

Its engine runs all its checks: boundary values and other methods, random requests, and sequences of them that go on
with what the answers before said. Its pytest plugin is left out (`-p no:schemathesis`), which no pytest of today loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import strategies
from pydantic import SecretStr
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.email import EmailSettings
from tests.support import typed_jobs
from tests.support.api_server import api_of, serving
from tests.support.fixtures import LEASE, Databases, on_database

pytestmark = pytest.mark.slow

#: What pydantic takes for another type on purpose, as FastAPI's users know it: 0 or "1" as bool, a date as a number,
#: one member of a set twice.
CONVERTED = re.compile(r"Invalid component: in body - .*: (Incorrect type|Non-unique items)$", re.MULTILINE)

#: JSON Schema cannot say what a Jinja template is, an address, a CSV file, the digest of what is sent beside it,
#: which sources, presets and files there are, what a URL or a header may hold, or which event types are our own.
BEYOND_A_SCHEMA = (
    "PATCH /webhooks/endpoints/{endpoint_id}",
    "POST /email/mailings",
    "POST /email/preview",
    "POST /email/suppressions",
    "POST /email/test",
    "POST /email/variables",
    "POST /media/conversions",
    "POST /media/probe",
    "POST /reports",
    "POST /uploads",
    "POST /webhooks/endpoints",
    "POST /webhooks/endpoints/{endpoint_id}/rotate-secret",
    "POST /webhooks/events",
    "POST /webhooks/replays",
)

#: Of a request without its version, tus wants 412.
TUS = {
    "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "406", "412", "422", "428"]},
    "missing_required_header": {"expected-statuses": ["412", "422"]},
}


@pytest.fixture(scope="module")
def api_settings(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """No worker serves this database: nothing waits for the day that a job was asked to take."""
    return Settings(
        broker_timeout=30,  # else a busy machine answers 503, which counts as a fault of the server
        broker_url=SecretStr(on_database(valkey_url, Databases.CONFORMANCE)),
        data_dir=tmp_path_factory.mktemp("conformance"),
        lease=LEASE,
    )


@pytest.fixture(scope="module")
def built_in(api_settings: Settings) -> FastAPI:
    email = EmailSettings(smtp_url=SecretStr("smtp://127.0.0.1:1"), mail_secrets=(SecretStr("s" * 32),))
    return create_api(api_settings, {"email": email})


@pytest.fixture(scope="module")
def typed(api_settings: Settings) -> Iterator[FastAPI]:
    app = typed_jobs.create(api_settings)
    yield api_of(app)
    app.close()


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Each request has a key of its own: otherwise most are refused for the key of another, whatever they hold."""
    for name, value in (case.headers or {}).items():
        if name.lower() == "idempotency-key" and isinstance(value, str) and 1 <= len(value) <= 255:
            case.headers[name] = str(uuid4())


schemathesis.openapi.media_type("application/offset+octet-stream", strategies.binary(max_size=100))
schemathesis.openapi.media_type("message/rfc822", strategies.just(b"From: MAILER-DAEMON@example.org\r\n\r\nGone.\r\n"))
schemathesis.openapi.media_type("text/csv", strategies.just(b"email,name\nann@example.org,Ann\n"))


def faults(api: FastAPI, *, examples: int) -> list[str]:
    """What schemathesis finds, with that many examples for each operation."""
    options = {
        "seed": 1,
        "request-timeout": 60,
        "continue-on-failure": True,
        # The stream of an unfinished job has no end, and after its last event there is none to wait for.
        "max-stream-events": 1,
        "operations": [
            {"include-path": "/jobs/{job_id}/events", "request-timeout": 5},
            {"include-path": "/uploads/{upload_id}", "checks": TUS},
        ],
        "generation": {"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
    }
    found: list[str] = []
    called: set[str] = set()
    with serving(api) as server:
        schema = schemathesis.openapi.from_url(
            f"{server.url}/openapi.json", config=SchemathesisConfig.from_dict(options)
        )
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                found.append(str(event))
            elif isinstance(event, events.ScenarioFinished):
                called |= {case.value.operation.label for case in event.recorder.cases.values()}
                found += failures(event.recorder)
        assert called == {operation.ok().label for operation in schema.get_all_operations()}
    return found


def failures(recorder: Any) -> Iterator[str]:
    for case, checks in recorder.checks.items():
        operation = recorder.cases[case].value.operation.label
        for check in checks:
            if check.failure_info is not None and not is_expected(operation, check.failure_info.failure):
                yield f"{operation}: {check.failure_info.failure}\n{check.failure_info.code_sample}"


def is_expected(operation: str, failure: schemathesis.errors.Failure) -> bool:
    kind = type(failure).__name__
    if kind == "AcceptedNegativeData":
        return bool(CONVERTED.search(str(failure)))
    return kind == "RejectedPositiveData" and operation in BEYOND_A_SCHEMA


@pytest.mark.timeout(600)  # thousands of requests; beside other work they have taken more than three minutes
def test_the_built_in_api_does_what_it_says(built_in: FastAPI) -> None:
    assert faults(built_in, examples=40) == []


def test_an_api_of_many_types_does_what_it_says(typed: FastAPI) -> None:
    assert faults(typed, examples=40) == []
