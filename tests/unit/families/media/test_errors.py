"""Errors of conversions survive being pickled, and are problems in HTTP."""

from __future__ import annotations

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.media import errors
from celeriac.http.problems import as_problem
from tests.support.family_errors import assert_survives_pickling, assert_tree_is_whole

EXAMPLES = [
    errors.ConverterMissing("no ffmpeg is there"),
    errors.NotConfined("no converter is started"),
    errors.MediaRefused("it is a playlist"),
    errors.PresetInvalid("there is no preset", [{"loc": ["presets", 0]}]),
    errors.ConversionFailed("ffmpeg ended with code 1"),
    errors.ConversionStalled("no progress"),
    errors.ConversionLimited("too long"),
    errors.OutputFaulty("it lasts 1 s instead of 2 s"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_keeps_its_message(error: CeleriacError) -> None:
    assert_survives_pickling(error)


def test_all_are_in_the_tree() -> None:
    assert_tree_is_whole(errors, EXAMPLES)


@pytest.mark.parametrize(("number", "status"), [(0, 501), (1, 501), (2, 422), (3, 422)])
def test_their_statuses(number: int, status: int) -> None:
    response = as_problem(EXAMPLES[number])
    assert response is not None and response.status_code == status
