"""What callers ask of cleanups, and what they are shown, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from celeriac.families.cleanup.api_views import PolicyView, PolicyWithDefinition
from celeriac.families.cleanup.forms import PauseForm, RestoreForm, RunForm
from celeriac.families.cleanup.policy import Policy

POLICY = Policy.model_validate(
    {
        "name": "old-orders",
        "connection": "shop",
        "table": "orders",
        "where": {"age": {"column": "placed_at", "older_than": "90d"}},
        "action": "delete",
        "budget": {"rows": 500},
    }
)


@pytest.mark.parametrize(
    ("form", "values"),
    [
        (RunForm, {"rows": 0}),
        (RunForm, {"seconds": 0}),
        (RunForm, {"seconds": float("inf")}),
        (RunForm, {"seconds": float("nan")}),
        (RunForm, {"table": "orders"}),
        (PauseForm, {"force": "perhaps"}),
        (RestoreForm, {"run": "a"}),
        (RestoreForm, {"policy": "x'; DROP TABLE orders", "run": "a"}),
        (RestoreForm, {"policy": "old-orders", "run": "a/../b"}),
        (RestoreForm, {"policy": "old-orders", "run": "a", "on_conflict": "replace"}),
    ],
)
def test_forms_refuse_what_cannot_be_meant(form: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        form(**values)


def test_a_run_may_have_less_than_its_policy_allows() -> None:
    assert POLICY.within(rows=None, seconds=None) is POLICY
    smaller = POLICY.within(rows=7, seconds=1.5)
    assert (smaller.budget.rows, smaller.budget.seconds) == (7, 1.5)
    assert POLICY.within(rows=None, seconds=2.0).budget.rows == 500


def test_a_policy_is_shown_without_its_database() -> None:
    shown = PolicyView.of(POLICY, None, "no answer")
    assert (shown.paused, shown.job, shown.last_run, shown.unavailable) == (None, None, None, "no answer")
    whole = PolicyWithDefinition.of(POLICY, None, definition=POLICY).model_dump(mode="json")
    assert whole["definition"]["where"]["age"] == {"column": "placed_at", "older_than": "P90D", "unit": None}
