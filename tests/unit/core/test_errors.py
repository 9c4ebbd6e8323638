"""Every error survives being pickled, as between a pool's processes, with its message and what it carries."""

import inspect
import pickle
from typing import Any

import pytest

from celeriac.core import errors

MADE: list[BaseException] = [
    errors.DatabaseUnavailable("sqlite:///x", "it is locked"),
    errors.DatabaseRefused("sqlite:///x", "it is no database"),
    errors.LockTimedOut("postgresql://x", "canceling statement due to lock timeout"),
    errors.StorageUnavailable("s3://files", "it does not answer"),
    errors.UnknownArtifact("job-1", "a.pdf"),
    errors.UnknownUpload("upload-1"),
    errors.OffsetMismatch(5),
    errors.UploadIncomplete(12, 50),
    errors.ApplicationNotLoaded("there is none", "Traceback"),
    errors.StartRefused("there is none", 6, "Traceback"),
    errors.InvalidArguments(
        "job", [{"loc": ("a", 0), "msg": "odd", "type": "x"}, {"loc": (), "msg": "no", "type": "y"}]
    ),
    errors.UnknownTask("shop.nothing"),
    errors.UnknownJob("job-1"),
    errors.JobExists("job-1"),
    errors.SubmissionInvalid("row 2: odd", [{"row": 2, "message": "odd"}]),
    errors.JobUnsuccessful("job-1", "ended"),
    errors.JobFailed("job-1", "failed: OSError: gone"),
    errors.JobCancelled("job-1", "was cancelled"),
    errors.RetryAfter(5, "busy"),
    errors.RetryAfter(0.25),
    errors.RunLater(5, "full"),
]


def _name(error: type[BaseException]) -> str:
    return error.__name__


OWN = {error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, BaseException)}
REST = sorted(OWN - {type(error) for error in MADE}, key=_name)
EXAMPLES = [*MADE, *(error("what to change") for error in REST)]


@pytest.mark.parametrize("error", EXAMPLES, ids=[type(error).__name__ for error in EXAMPLES])
def test_an_error_can_be_pickled_and_keeps_its_message_and_what_it_carries(error: BaseException) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) != ""
    assert vars(again) == vars(error)


@pytest.mark.parametrize("error", sorted(OWN, key=_name))
def test_an_error_is_in_the_tree_and_in_the_documentation_of_it(error: type[BaseException]) -> None:
    assert issubclass(error, errors.CeleriacError) or error is errors.JobInterrupted
    assert error.__name__ in (errors.__doc__ or "")
    assert error.__doc__


def test_faults_are_told_with_their_places() -> None:
    assert (
        str(next(e for e in EXAMPLES if isinstance(e, errors.InvalidArguments)))
        == "invalid arguments for job 'job': a.0: odd; arguments: no"
    )


def test_an_id_of_a_stranger_is_not_repeated_at_length() -> None:
    assert len(str(errors.UnknownJob("x" * 100_000))) < 120
    assert "\n" not in str(errors.UnknownJob("a\nb"))


@pytest.mark.parametrize("kind", [errors.RetryAfter, errors.RunLater])
@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e12, "5", None])
def test_a_wait_that_is_no_time_is_refused(kind: Any, seconds: Any) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(.*: give a number of seconds, at most 315360000"):
        kind(seconds)
