"""Errors of bulk mail survive being pickled, and are problems in HTTP."""

from __future__ import annotations

import json

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.email import errors
from celeriac.http.problems import as_problem
from tests.support.family_errors import assert_survives_pickling, assert_tree_is_whole

EXAMPLES = [
    errors.MailServerUnavailable("smtp://h:25", "it is full", 452),
    errors.RecipientsInvalid(
        [{"row": 2, "column": "email", "message": "odd"}, {"row": None, "column": None, "message": "empty"}], more=True
    ),
    errors.TemplateInvalid("subject", 3, "unclosed"),
    errors.TemplateInvalid("subject", None, "empty"),
    errors.RecipientsDeferred("later"),
    errors.TestMailRefused("550 no such user"),
    errors.MailingStopped("no"),
    errors.MailingIncomplete("2 of 3"),
    errors.AttachmentInvalid(1, "job x has no file y"),
    errors.AttachmentGone("report.pdf of job x is gone"),
    errors.LookupFailed("example.com", "the DNS did not answer"),
    errors.MailboxUnavailable("imaps://h:993/INBOX", "it is gone"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_keeps_its_message_and_what_it_carries(error: CeleriacError) -> None:
    assert_survives_pickling(error)


def test_all_are_in_the_tree() -> None:
    assert_tree_is_whole(errors, EXAMPLES)


def test_faults_are_told_with_their_places() -> None:
    assert str(EXAMPLES[1]) == "invalid recipients: row 2, column email: odd; empty; and more"


@pytest.mark.parametrize(
    ("error", "kind", "faults"),
    [
        (EXAMPLES[1], "recipients-invalid", None),
        (EXAMPLES[2], "template-invalid", [{"template": "subject", "line": 3, "message": "unclosed"}]),
    ],
)
def test_what_a_caller_can_mend_is_a_problem_with_its_faults(
    error: errors.RecipientsInvalid | errors.TemplateInvalid, kind: str, faults: list[dict[str, object]] | None
) -> None:
    response = as_problem(error)
    assert response is not None
    body = json.loads(bytes(response.body))
    assert (body["status"], body["type"]) == (422, f"urn:celeriac:problem:{kind}")
    assert body["errors"] == (faults or error.faults)
