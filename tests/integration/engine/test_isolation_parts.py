"""What isolated jobs are made of: addresses, errors that travel, processes, and turns."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections.abc import AsyncGenerator
from itertools import pairwise
from types import ModuleType

import pytest
import pytest_asyncio
import uvloop

from celeriac import ConfigurationError, JobCrashed, RetryAfter
from celeriac.core.clock import now_ms
from celeriac.core.cores import available_cores
from celeriac.engine.aio.slots import NoSlot, Slots
from celeriac.engine.isolation import processes
from celeriac.engine.isolation.address import address_of
from celeriac.engine.isolation.errors import revived, told
from celeriac.engine.isolation.process import JobProcess
from celeriac.engine.start import shard
from celeriac.engine.tracebacks import format_error


def _module(monkeypatch: pytest.MonkeyPatch, name: str, **variables: object) -> None:
    module = ModuleType(name)
    vars(module).update(variables)
    monkeypatch.setitem(sys.modules, name, module)


def test_an_application_is_found_where_it_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    app = object()
    _module(monkeypatch, "isolated_shop.main", other=object(), queue=app)
    assert address_of(app) == "isolated_shop.main:queue"


def test_the_program_itself_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    app = object()
    _module(monkeypatch, "__main__", app=app)
    with pytest.raises(ConfigurationError, match="start the worker with `-A module`"):
        address_of(app)


class Odd(Exception):
    def __init__(self, one: object, two: int) -> None:
        super().__init__(one, two)

    def __str__(self) -> str:
        return f"odd: {self.args[1]}"


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as raised:
        return raised


@pytest.mark.parametrize("error", [ValueError("a", 1), RetryAfter(3, "busy"), Odd(object(), 2), OSError(2, "gone")])
def test_an_error_stands_for_another_wherever_it_goes(error: Exception) -> None:
    stands = revived(told(_raised(error), retry_in=1.5))
    again = pickle.loads(pickle.dumps(stands))
    for seen in (stands, again):
        assert (type(seen).__name__, type(seen).__module__) == (type(error).__name__, type(error).__module__)
        assert (str(seen), seen.retry_in) == (str(error), 1.5)
        assert format_error(seen) == format_error(error)


def test_its_arguments_are_those_its_class_takes_if_they_can_be_sent() -> None:
    assert told(_raised(RetryAfter(3, "busy")), None)["args"] == [3, "busy"]
    assert told(_raised(Odd(object(), 2)), None)["args"] == ["odd: 2"]


@pytest_asyncio.fixture
async def process() -> AsyncGenerator[JobProcess]:
    started = await JobProcess.start("tests.support.main_program:app")
    yield started
    await started.kill()
    with pytest.raises(JobCrashed):
        await _double(started, 1)


async def _double(process: JobProcess, number: int) -> object:
    job = {"id": "1", "attempt": 1, "attempts": 1, "parent_id": None, "children": None}
    module, task = "tests.support.main_program", "program.double"
    request = {"task": task, "module": module, "arguments": json.dumps({"number": number}), "job": job}
    return (await process.run(request, lambda *_: None))["value"]


async def test_a_process_is_of_use_on_any_event_loop(process: JobProcess) -> None:
    assert [await _double(process, number) for number in (4, 10**6)] == [8, 2 * 10**6]


@pytest.mark.slow
def test_a_process_that_reads_no_more_is_told_as_crashed_and_is_not_used_again() -> None:
    async def use() -> None:
        process = await JobProcess.start("tests.support.main_program:app")
        assert not process.has_ended
        process._input.close()
        assert process.has_ended
        with pytest.raises(JobCrashed):
            await _double(process, 1)
        await process.kill()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # its streams raise RuntimeError then
        runner.run(use())


async def test_a_job_that_is_not_registered_on_import_is_refused(process: JobProcess) -> None:
    request = {"task": "program.missing", "module": "tests.support.main_program", "arguments": {}, "job": {}}
    with pytest.raises(ConfigurationError, match="register it when its module is imported"):
        await process.run(request, lambda *_: None)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("tests.support.no_such:app", "cannot import 'tests.support.no_such'"),
        ("tests.support.slow:app", "found no 'app'"),
    ],
)
async def test_an_application_that_is_not_there_is_a_clear_error(address: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        await JobProcess.start(address)


async def test_whose_turn_is_far_is_told_so_and_the_next_ones_stay() -> None:
    slots = Slots(asyncio.get_running_loop(), 1)
    await slots.reserve()
    patient = asyncio.create_task(slots.reserve())
    others = [asyncio.create_task(slots.reserve(may_leave=True)) for _ in range(5)]
    await asyncio.sleep(0)
    assert slots.waiting == 6
    slots.release()  # to the patient one
    slots.release()  # to the first of the others
    told = await asyncio.gather(*others[3:], return_exceptions=True)
    assert {type(error) for error in told} == {NoSlot}
    assert patient.done()
    assert (others[0].done(), others[1].done(), others[2].done(), slots.waiting) == (True, False, False, 2)
    for _ in range(3):
        slots.release()
    await asyncio.gather(*others[:3])
    assert (slots.free, slots.waiting) == (1, 0)


async def test_who_may_not_leave_waits_for_ever() -> None:
    slots = Slots(asyncio.get_running_loop(), 1)
    await slots.reserve()
    patient = asyncio.create_task(slots.reserve())
    with pytest.raises(NoSlot):
        await slots.reserve(may_leave=True)
    assert not patient.done()
    slots.release()
    await patient


async def test_what_was_turned_away_comes_back_one_after_the_other() -> None:
    slots = Slots(asyncio.get_running_loop(), 1)
    before = now_ms()
    due = [slots.comeback_ms() for _ in range(100)]
    assert 250 <= due[0] - before < 750
    assert {after - before for before, after in pairwise(due)} <= set(range(10, 50))


def test_a_shard_has_its_part_of_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_cores", None)
    assert processes.Processes().slots.limit == available_cores()
    shard.limit_pool(7)
    assert processes.Processes().slots.limit == 7
