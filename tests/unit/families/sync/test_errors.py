"""Errors of syncs survive being pickled."""

from __future__ import annotations

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.sync import errors
from tests.support.family_errors import assert_survives_pickling, assert_tree_is_whole

EXAMPLES = [
    errors.SyncInvalid("shop.yaml: streams.0.name: missing"),
    errors.UnknownSync("no sync is named x"),
    errors.UnknownRun("no run with id x is known"),
    errors.SyncBusy("shop", "job-1"),
    errors.SourceUnavailable("api.example does not answer"),
    errors.SyncFailed("stream orders: 404"),
    errors.SourceFailed("the same page twice"),
    errors.SchemaStopped("a new field"),
    errors.TooManyRejected("1,001 records"),
    errors.CountsWrong("100 in, 99 written"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_keeps_its_message(error: CeleriacError) -> None:
    assert_survives_pickling(error)


def test_all_are_in_the_tree() -> None:
    assert_tree_is_whole(errors, EXAMPLES)
