"""What Celery promises of results and canvas, on a plain application, in every pool."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError

from tests.contract.conftest import TaskOf
from tests.support.contract_jobs import Trace
from tests.support.waiting import wait_until

WAIT = 60

VALUES: list[Any] = [
    None,
    {"nested": [1, 2.5, "Grüße", True, {"deep": []}]},
    datetime(2026, 11, 22, 12, 30, 0, 250_000, tzinfo=UTC),
    datetime(2026, 11, 22, 12, 30),
    date(2026, 11, 22),
    Decimal("1.10"),
    UUID("7a1ab1ce-55cc-4c5e-8d3d-1f6d0f7e2a33"),
    b"\x00\xff",
    2**63,
    "x" * 1_000_000,
]


def test_values_come_back_as_they_went(task: TaskOf) -> None:
    results = [task("echo").delay(value) for value in VALUES]
    assert [result.get(timeout=WAIT) for result in results] == VALUES


def test_a_result_is_stored_with_its_state(task: TaskOf, plain: Celery) -> None:
    result = task("echo").delay(7)
    assert result.get(timeout=WAIT) == 7
    again = plain.AsyncResult(result.id)
    assert (again.state, again.result, again.traceback) == ("SUCCESS", 7, None)
    assert again.date_done is not None
    again.forget()
    assert plain.AsyncResult(result.id).state == "PENDING"


def test_a_failure_comes_back_as_the_error_it_was(task: TaskOf) -> None:
    result = task("fail").delay("broken")
    with pytest.raises(ValueError, match="broken"):
        result.get(timeout=WAIT)
    assert result.state == "FAILURE"
    assert result.traceback.rstrip().endswith("ValueError: broken")
    assert "raise ValueError(message)" in result.traceback


def test_an_argument_too_few_is_a_failure(task: TaskOf) -> None:
    with pytest.raises(TypeError, match="message"):
        task("fail").apply_async((), typing=False).get(timeout=WAIT)


def test_a_value_that_cannot_be_stored_is_a_failure(task: TaskOf) -> None:
    result = task("odd").delay()
    with pytest.raises(Exception, match="not JSON serializable"):
        result.get(timeout=WAIT)
    assert result.state == "FAILURE"


def test_no_result_is_stored_where_none_is_wanted(task: TaskOf, trace: Trace) -> None:
    for by_task in (True, False):
        key = uuid4().hex
        result = task("forget").delay(key) if by_task else task("note").apply_async((1, key), ignore_result=True)
        wait_until(lambda key=key: trace.of(key), "it has run")
        assert task("echo").delay(1).get(timeout=WAIT) == 1
        assert result.state == "PENDING"


def test_a_result_is_wanted_for_this_once(task: TaskOf) -> None:
    assert task("forget").apply_async((uuid4().hex,), ignore_result=False).get(timeout=WAIT) == 42


def test_chain(task: TaskOf) -> None:
    add, echo = task("add"), task("echo")
    result = chain(add.s(1, 2), add.s(3), echo.s())()
    assert result.get(timeout=WAIT) == 6
    assert [step.get(timeout=WAIT) for step in (result.parent, result.parent.parent)] == [6, 3]


def test_a_chain_ends_with_a_failure(task: TaskOf, trace: Trace) -> None:
    key = uuid4().hex
    result = chain(task("fail").s("broken"), task("note").s(key=key))()
    for step in (result.parent, result):
        with pytest.raises(ValueError, match="broken"):
            step.get(timeout=WAIT)
    assert task("echo").delay(1).get(timeout=WAIT) == 1
    assert trace.of(key) == []


def test_a_chain_goes_on_after_a_retry(task: TaskOf) -> None:
    assert chain(task("flaky").s(1), task("add").s(10))().get(timeout=WAIT) == 11


def test_a_chain_goes_on_through_an_exchange(task: TaskOf, plain: Celery) -> None:
    exchange = plain.conf.task_default_queue
    routed = task("add").s(10).set(exchange=exchange, routing_key=exchange)
    assert chain(task("add").s(1, 1), routed, task("add").s(100))().get(timeout=WAIT) == 112


def test_group(task: TaskOf) -> None:
    result = group(task("add").s(number, 1) for number in range(10))()
    assert result.get(timeout=WAIT) == list(range(1, 11))
    assert result.successful()


def test_a_group_with_a_failure(task: TaskOf) -> None:
    result = group(task("echo").s(1), task("fail").s("broken"))()
    with pytest.raises(ValueError, match="broken"):
        result.get(timeout=WAIT)
    assert result.get(timeout=WAIT, propagate=False)[0] == 1


def test_a_chain_into_a_group(task: TaskOf) -> None:
    add = task("add")
    assert chain(add.s(1, 1), group(add.s(1), add.s(2)))().get(timeout=WAIT) == [3, 4]


@pytest.mark.parametrize("count", [1, 2, 25])
def test_chord(task: TaskOf, count: int) -> None:
    header = [task("echo").s(number) for number in range(count)]
    assert chord(header, task("total").s())().get(timeout=WAIT) == sum(range(count))


@pytest.mark.parametrize("way", [("asyncio", "async")], indirect=True, scope="session", ids=["asyncio"])
def test_a_chord_of_both_forms(plain: Celery) -> None:
    header = [plain.tasks[f"{kind}.echo"].s(number) for number in range(5) for kind in ("async", "def")]
    for kind in ("async", "def"):
        assert chord(header, plain.tasks[f"{kind}.total"].s())().get(timeout=WAIT) == 20


def test_a_chord_in_a_chain_with_chains_and_groups_in_it(task: TaskOf) -> None:
    add, total, echo = task("add"), task("total"), task("echo")
    assert chain(chord([add.s(1, 1) | add.s(1), add.s(2, 2)], total.s()), add.s(100))().get(timeout=WAIT) == 107
    nested = chord([chord([echo.s(1), echo.s(2)], total.s()), echo.s(4)], total.s())
    assert nested().get(timeout=WAIT) == 7


def test_a_chord_with_a_part_that_is_retried(task: TaskOf) -> None:
    assert chord([task("flaky").s(1), task("echo").s(5)], task("total").s())().get(timeout=WAIT) == 6


def test_a_chord_with_a_part_that_fails_fails_with_its_errback(task: TaskOf, plain: Celery, trace: Trace) -> None:
    key = uuid4().hex
    body = task("total").s().on_error(plain.tasks["orders.complain"].s(key=key))
    result = chord([task("echo").s(1), task("fail").s("broken")], body)()
    with pytest.raises((ChordError, ValueError), match="broken"):  # its own, or that of its part
        result.get(timeout=WAIT)
    wait_until(lambda: trace.of(key), "the errback of the body")
    assert trace.of(key) == ["complaint ChordError"]
    wait_until(lambda: plain.AsyncResult(result.id).state == "FAILURE", "the body's state")
    assert isinstance(plain.AsyncResult(result.id).result, ChordError)


def test_link(task: TaskOf, trace: Trace) -> None:
    key = uuid4().hex
    notes = [task("note").s(key=key), task("note").si("immutable", key=key)]
    result = task("echo").apply_async((5,), link=notes)
    assert result.get(timeout=WAIT) == 5
    wait_until(lambda: sorted(trace.of(key)) == ["note 5", "note immutable"], "both links")


def test_link_error(task: TaskOf, plain: Celery, trace: Trace) -> None:
    new, old = uuid4().hex, uuid4().hex
    links = [plain.tasks["orders.complain"].s(key=new), plain.tasks["orders.grumble"].s(key=old)]
    result = task("fail").apply_async(("broken",), link_error=links, link=task("note").s(key=new))
    with pytest.raises(ValueError, match="broken"):
        result.get(timeout=WAIT)
    wait_until(lambda: trace.of(new) and trace.of(old), "both errbacks")
    assert (trace.of(new), trace.of(old)) == (["complaint ValueError"], [f"grumble {result.id}"])


def test_map_starmap_and_chunks(task: TaskOf) -> None:
    echo, add = task("echo"), task("add")
    assert echo.map([1, 2, 3]).delay().get(timeout=WAIT) == [1, 2, 3]
    assert add.starmap([(1, 2), (3, 4)]).delay().get(timeout=WAIT) == [3, 7]
    assert add.chunks([(1, 2), (3, 4), (5, 6)], 2).delay().get(timeout=WAIT) == [[3, 7], [11]]
    with pytest.raises(ValueError, match="not this one"):
        task("fail").map(["not this one", "nor that"]).delay().get(timeout=WAIT)


def test_replace(task: TaskOf, way: tuple[str, str]) -> None:
    kind = way[1]
    for number, total in ((0, 23), (2, 13)):
        assert task("replaced").delay(kind, number).get(timeout=WAIT) == total
    assert chain(task("replaced").s(kind, 1), task("add").s(100))().get(timeout=WAIT) == 112
    header = [task("replaced").s(kind, 1), task("echo").s(1)]
    assert chord(header, task("total").s())().get(timeout=WAIT) == 13


def test_a_chord_fails_with_a_chord_in_its_header_and_both_call_their_errbacks(
    task: TaskOf, plain: Celery, trace: Trace
) -> None:
    echo, complain, inner_key, outer_key = task("echo"), plain.tasks["orders.complain"], uuid4().hex, uuid4().hex
    inner = chord([task("fail").si("no"), echo.si(1)], echo.s().on_error(complain.s(key=inner_key)))
    outer = chord([inner, echo.si(2)], echo.s().on_error(complain.s(key=outer_key)))()
    with pytest.raises(ChordError, match=r"ChordError.*no"):
        plain.AsyncResult(outer.id).get(timeout=WAIT)
    assert trace.of(inner_key) == trace.of(outer_key) == ["complaint ChordError"]
