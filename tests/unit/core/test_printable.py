"""Text from outside, made fit for records, logs and terminals."""

from __future__ import annotations

import pytest

from celeriac import Failure
from celeriac.core.printable import message_of, one_line, repr_of, shortened, without_controls


def test_what_is_cut_is_counted_and_head_and_tail_are_kept() -> None:
    text = "head" + "x" * 10_000_000 + "tail"
    cut = shortened(text, 1000)
    assert len(cut) <= 1000
    assert cut.startswith("headxxx")
    assert cut.endswith("xxxtail")
    head, told, tail = cut.split("…")
    assert told == f" {len(text) - len(head) - len(tail) + 2:,} characters cut "


@pytest.mark.parametrize("size", [99, 100, 101, 148, 10**6])
def test_what_was_cut_once_is_not_cut_again(size: int) -> None:
    once = shortened("é" * size, 100)
    assert len(once) <= 100
    assert shortened(once, 100) is once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\u00a0text, déjà vu 日本", "plain\u00a0text, déjà vu 日本"),
        ("a\nb\r\nc\td", r"a\nb\r\nc" + "\td"),
        ("\x1b[31mred\x07\x7f\x9b", r"\x1b[31mred\x07\x7f\x9b"),
        ("line\u2028and\u2029paragraph\x85next", r"line\u2028and\u2029paragraph\x85next"),
    ],
)
def test_control_characters_and_line_ends_are_spelt_out(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_text_of_several_lines_keeps_them_and_nothing_else_that_moves_the_cursor() -> None:
    assert without_controls("one\r\ntwo\rthree\x1b[2J\n\tfour") == "one\ntwo\\rthree\\x1b[2J\n\tfour"


def test_the_message_of_an_exception_is_asked_for_once_whatever_it_does() -> None:
    asked: list[str] = []

    class Odd(Exception):
        def __str__(self) -> str:
            asked.append("str")
            raise SystemExit

    assert "cannot be shown" in message_of(Odd(), 1000)
    assert asked == ["str"]


def test_an_exception_is_shown_whatever_it_does() -> None:
    class Odd(BaseException):
        def __repr__(self) -> str:
            raise SystemExit

    assert repr_of(Odd(), 1000) == "Odd(), whose __repr__ failed"
    assert repr_of(ValueError("\udcff"), 1000) == r"ValueError('\udcff')"
    assert len(repr_of(ValueError("x" * 10_000), 1000)) <= 1000


def test_a_failure_keeps_a_bounded_part_of_each_text() -> None:
    long = "x" * 1_000_000
    failure = Failure(long, long, long)
    assert [len(text or "") <= limit for text, limit in ((failure.type, 200), (failure.message, 4000))] == [True, True]
    assert len(failure.traceback or "") <= 32_000
    assert Failure(failure.type, failure.message, failure.traceback) == failure
