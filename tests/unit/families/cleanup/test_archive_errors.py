"""Errors of cleanup go from process to process."""

from __future__ import annotations

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.cleanup import errors
from tests.support.family_errors import assert_survives_pickling, assert_tree_is_whole

EXAMPLES = [
    errors.ArchiveDamaged("x is damaged"),
    errors.ArchiveRefused("no"),
    errors.BudgetInvalid("rows: the policy allows 5, and 6 were asked for"),
    errors.ChunkUnstable("orders change"),
    errors.CleanupRefused("no"),
    errors.NotMeasured("the replica is not connected"),
    errors.PolicyInvalid("table: there is none"),
    errors.RowsKept("rows of orders stay"),
    errors.RowsReferred("items refer to orders"),
    errors.TableRefused("orders has no key"),
    errors.UnknownPolicy("no policy is named x"),
    errors.UnknownRun("no run has the id x"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_each_error_survives_pickling(error: CeleriacError) -> None:
    assert_survives_pickling(error)


def test_the_tree_has_all_errors() -> None:
    assert_tree_is_whole(errors, EXAMPLES)
