"""Errors of conversions survive being pickled, and are problems in HTTP."""

from __future__ import annotations

import inspect
import pickle

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.media import errors
from celeriac.http.problems import as_problem

EXAMPLES = [
    errors.ConverterMissing("no ffmpeg is there"),
    errors.MediaRefused("it is a playlist"),
    errors.PresetInvalid("there is no preset", [{"loc": ["presets", 0]}]),
    errors.ConversionFailed("ffmpeg ended with code 1"),
    errors.ConversionStalled("no progress"),
    errors.ConversionLimited("too long"),
    errors.OutputFaulty("it lasts 1 s instead of 2 s"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_keeps_its_message(error: CeleriacError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) != ""
    assert vars(again) == vars(error)


def test_all_are_in_the_tree() -> None:
    own = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    assert own == {type(error) for error in EXAMPLES}
    assert all(kind.__name__ in (errors.__doc__ or "") and kind.__doc__ for kind in own)


@pytest.mark.parametrize(("number", "status"), [(0, 501), (1, 422), (2, 422)])
def test_their_statuses(number: int, status: int) -> None:
    response = as_problem(EXAMPLES[number])
    assert response is not None and response.status_code == status
