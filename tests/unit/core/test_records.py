"""The job record: read from the fields that the scripts keep, whatever numbers and texts jobs report."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
import pytest

from celeriac import Failure, JobEvent, JobRecord, JobState, Progress
from celeriac.core.clock import to_datetime, to_ms
from celeriac.core.records import parse_record
from celeriac.core.states import FINISHED
from celeriac.store.jobs.enqueueing import JobKind, NewJob, enqueue

MOMENT = datetime(2026, 11, 22, 10, 20, 30, 456000, UTC)
STAMP = b"1795342830456"


def test_every_field_is_read() -> None:
    fields = {
        b"state": b"retrying",
        b"task": b"shop.welcome",
        b"queue": b"mail",
        b"created": STAMP,
        b"updated": STAMP,
        b"started": STAMP,
        b"finished": STAMP,
        b"delay_until": STAMP,
        b"arguments": '{"name":"Zoë"}'.encode(),
        b"attempt": b"3",
        b"progress": b'{"done":1,"total":4,"message":"a quarter"}',
        b"error": b'{"type":"OSError","message":"gone","traceback":null}',
        b"parent": b"parent-1",
        b"worker": b"celery@host",
        b"cancel": b"1",
        b"children": b"7",
        b"open": b"4",
        b"children_succeeded": b"2",
        b"children_failed": b"1",
        b"run": b"2",
    }
    assert parse_record("job-1", fields) == JobRecord(
        id="job-1",
        task="shop.welcome",
        queue="mail",
        state=JobState.RETRYING,
        created_at=MOMENT,
        updated_at=MOMENT,
        started_at=MOMENT,
        finished_at=MOMENT,
        delay_until=MOMENT,
        arguments={"name": "Zoë"},
        attempt=3,
        progress=Progress(1, 4, "a quarter"),
        error=Failure("OSError", "gone"),
        parent_id="parent-1",
        worker="celery@host",
        cancel_requested=True,
        children={"total": 7, "open": 4, "succeeded": 2, "failed": 1, "cancelled": 0},
    )


def test_a_record_of_a_plain_celery_task_may_say_little() -> None:
    record = parse_record("job-1", {b"state": b"queued", b"created": STAMP})
    assert (record.task, record.arguments, record.attempt, record.progress) == ("", None, 0, None)
    assert record.created_at == record.updated_at == MOMENT


def test_a_new_job_reads_back_as_it_was_accepted() -> None:
    kind = JobKind(
        task="shop.welcome", queue="mail", list_key="mail", priority=3, delay_until=MOMENT, parent_id="parent-1"
    )
    args = enqueue([NewJob(kind, "job-1", b"{}", b'{"n":1}')]).args
    begin = 10  # behind what goes for all jobs, and when those of this kind are due
    end = begin + int(args[begin - 1])
    flat, job = [str(value).encode() for value in args[begin:end]], args[end:]
    record = parse_record("job-1", dict(zip(flat[::2], flat[1::2], strict=True)))
    assert (record.task, record.queue, record.priority, record.parent_id) == ("shop.welcome", "mail", 3, "parent-1")
    assert (record.state, record.delay_until) == (JobState.SCHEDULED, MOMENT)
    assert isinstance(args[0], int)
    assert job == [1, "job-1", b'{"n":1}', b"{}"]


def test_an_integer_beyond_64_bits_is_not_rounded() -> None:
    fields = {b"state": b"queued", b"arguments": b'{"n":1180591620717411303425}'}
    assert parse_record("job-1", fields).arguments == {"n": 2**70 + 1}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        *[(0, 0), (3, 3), (3.0, 3), (0.5, 0.5), (True, 1), (-1, -1)],
        *[(Decimal("2.5"), 2.5), (Fraction(1, 4), 0.25), ("12", 12)],
        *[(2**53 - 1, 2**53 - 1), (2**53, float(2**53)), (2**70, float(2**70)), (1e300, 1e300)],
    ],
)
def test_progress_takes_any_kind_of_number_and_keeps_what_json_can_hold(given: Any, kept: float) -> None:
    progress = Progress(given, given)
    assert (progress.done, progress.total) == (kept, kept)
    assert type(progress.done) is type(kept)
    assert orjson.loads(orjson.dumps(progress)) == {"done": kept, "total": kept, "message": ""}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), Decimal("NaN"), "many", None, [], 1j])
def test_progress_refuses_what_is_no_finite_number(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Progress(value)


@pytest.mark.parametrize("text", ["a\ud800b", "\udcff", "Zoë ☃ \U0001f40d", "", "line\nline\0"])
def test_any_text_that_a_job_reports_can_be_stored(text: str) -> None:
    for kept in (Progress(1, message=text).message, Failure("E", text).message, Failure("E", "", text).traceback):
        assert kept == text.encode("utf-8", "backslashreplace").decode()
        assert orjson.loads(orjson.dumps(kept)) == kept


def test_an_error_whose_message_cannot_be_made_is_recorded_all_the_same() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert Failure.of(Odd()) == Failure("Odd", "(its message cannot be shown: Odd.__str__ failed)")


def test_an_error_is_recorded_by_the_name_and_message_that_python_prints() -> None:
    assert Failure.of(KeyError("x"), "Traceback ...") == Failure("KeyError", "'x'", "Traceback ...")


@pytest.mark.parametrize("state", list(JobState))
def test_only_the_event_of_an_end_is_final(state: JobState) -> None:
    assert JobEvent("1-0", "state", {"state": state.value}).final is (state in FINISHED)
    assert not JobEvent("1-0", "progress", {"done": 1}).final


def test_times_are_whole_milliseconds_of_one_instant() -> None:
    assert to_ms(MOMENT) == int(STAMP)
    assert to_datetime(int(STAMP)) == MOMENT
    with pytest.raises(ValueError, match="without a time zone is ambiguous"):
        to_ms(datetime(2026, 1, 1))
