"""How errors become problems."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.exceptions import HTTPException

from celeriac.core import errors
from celeriac.http.problems import ProblemError, as_problem, problem, responses

REFUSALS: dict[type[Exception], Exception] = {
    errors.InvalidArguments: errors.InvalidArguments("add", [{"loc": ("a",), "msg": "missing", "type": "missing"}]),
    errors.UnknownTask: errors.UnknownTask("add"),
    errors.UnknownJob: errors.UnknownJob("some-id"),
    errors.IdempotencyConflict: errors.IdempotencyConflict("used before"),
    errors.JobExists: errors.JobExists("some-id"),
    errors.SubmissionInvalid: errors.SubmissionInvalid("row 2: no address", [{"row": 2, "message": "no address"}]),
    errors.FamilyAbsent: errors.FamilyAbsent("it is not installed"),
    errors.UnknownConnection: errors.UnknownConnection("no connection has that name"),
    errors.InvalidFileName: errors.InvalidFileName("the file name '..' is none"),
    errors.UnknownArtifact: errors.UnknownArtifact("some-id", "a.pdf"),
    errors.UnknownUpload: errors.UnknownUpload("some-id"),
    errors.OffsetMismatch: errors.OffsetMismatch(5),
    errors.UploadIncomplete: errors.UploadIncomplete(12, 50),
    errors.ChecksumMismatch: errors.ChecksumMismatch("another digest"),
    errors.LinkInvalid: errors.LinkInvalid("it has expired"),
    errors.WrongState: errors.WrongState("it has ended"),
}


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_whatever_a_caller_can_mend_is_a_problem_of_the_callers() -> None:
    """A new error below JobRefused needs a status, and a line here."""
    assert {kind for kind in subclasses(errors.JobRefused) if kind.__module__ == errors.__name__} == set(REFUSALS)
    for error in REFUSALS.values():
        response = as_problem(error)
        assert response is not None
        assert 400 <= response.status_code < 500


@pytest.mark.parametrize(
    "error", [errors.BrokerUnavailable("away"), errors.DatabaseUnavailable("sqlite:///x", "locked")]
)
def test_what_is_away_may_be_back_in_a_second(error: Exception) -> None:
    response = as_problem(error)
    assert response is not None
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("error", [ValueError("x"), errors.ConfigurationError("x"), KeyError()])
def test_a_fault_of_the_server_s_is_no_problem_of_the_callers(error: Exception) -> None:
    assert as_problem(error) is None


def test_a_redirect_is_no_problem() -> None:
    assert as_problem(HTTPException(307, headers={"Location": "/"})) is None


@pytest.mark.parametrize(
    ("status", "kind", "title"),
    [
        (404, "not-found", "Not Found"),
        (405, "method-not-allowed", "Method Not Allowed"),
        (413, "content-too-large", "Content Too Large"),
        (418, "im-a-teapot", "I'm a Teapot"),
        (422, "unprocessable-content", "Unprocessable Content"),
        (499, "status-499", "Status 499"),
    ],
)
def test_an_error_of_http_is_named_by_its_status(status: int, kind: str, title: str) -> None:
    response = as_problem(HTTPException(status, "why", headers={"X-Why": "so"}))
    assert response is not None
    assert response.headers["x-why"] == "so"
    assert json.loads(response.body) == {
        "type": f"urn:celeriac:problem:{kind}",
        "title": title,
        "status": status,
        "detail": "why",
    }


def test_an_error_that_fastapi_has_wrapped_is_found() -> None:
    wrapper = HTTPException(400, "There was an error parsing the body")
    wrapper.__cause__ = ProblemError(413, "body-too-large", "too large")
    response = as_problem(wrapper)
    assert response is not None
    assert response.status_code == 413


def test_any_text_can_be_said() -> None:
    """A lone surrogate, which JSON can spell and UTF-8 cannot."""
    response = problem(422, "x", "\ud800 and ü")
    assert json.loads(response.body)["detail"] == "\ud800 and ü"
    assert response.body.isascii()


def test_faults_are_counted_and_cut() -> None:
    faults = [{"loc": ("x" * 10_000, n), "msg": "m" * 10_000, "type": "t"} for n in range(1000)]
    response = as_problem(errors.InvalidArguments("add", faults))
    assert response is not None
    body = json.loads(response.body)
    assert len(body["errors"]) == 20
    assert body["errors"][1]["loc"] == ["body", "x" * 500 + "...", 1]
    assert body["detail"].endswith("; and 995 more")
    assert len(response.body) < 30_000


def test_openapi_is_told_the_media_type() -> None:
    assert set(responses(404, 503)) == {404, 503}
    assert list(responses(404)[404]["content"]) == ["application/problem+json"]
