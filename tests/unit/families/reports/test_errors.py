"""Errors of reports survive being pickled, and are problems in HTTP."""

from __future__ import annotations

import json

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.reports import errors
from celeriac.http.problems import as_problem
from tests.support.family_errors import assert_survives_pickling, assert_tree_is_whole

EXAMPLES = [
    errors.SourceUnavailable("connection shop: no answer"),
    errors.ReportNotMade("report x is queued"),
    errors.PasswordUnavailable("the password cannot be opened"),
    errors.SourceInvalid("two sources are named orders"),
    errors.ReportInvalid("source.name", "no source is named x"),
    errors.DataInvalid("row 2 has 3 values"),
    errors.QueryFailed("not authorized"),
    errors.DataTooLarge("too many rows"),
    errors.ReportCrashed("its process ended"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_keeps_its_message_and_what_it_carries(error: CeleriacError) -> None:
    assert_survives_pickling(error)


def test_all_are_in_the_tree() -> None:
    assert_tree_is_whole(errors, EXAMPLES)


def test_a_wrong_request_is_a_problem_that_names_the_place() -> None:
    answer = as_problem(errors.ReportInvalid("source.name", "no source is named x"))
    assert answer is not None
    assert answer.status_code == 422
    told = json.loads(bytes(answer.body))
    assert told["type"] == "urn:celeriac:problem:report-invalid"
    assert told["errors"] == [{"loc": ["body", "source", "name"], "msg": "no source is named x"}]
