"""Keys in JSON, the pace of chunks, new values for personal data, and names of archives."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from celeriac.families.cleanup.archives_folder import checked_name
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.keys import read_position, write_position
from celeriac.families.cleanup.pace import Pace
from celeriac.families.cleanup.patterns import filled, hashed
from celeriac.families.cleanup.work import archive_name


@pytest.mark.parametrize(
    "key",
    [
        (1,),
        (2**63 - 1, -(2**62)),
        ("ü\0\n", "", True),
        (Decimal("1.50"), UUID(int=7), b"\x00\xff"),
        (datetime(2026, 1, 1, 0, 0, 0, 1), date(2026, 1, 1), time(1, 2, 3)),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),),
    ],
)
def test_a_key_comes_back_with_its_types(key: tuple[Any, ...]) -> None:
    again, _ = read_position(write_position(key, None))
    assert again == key
    assert list(map(type, again)) == list(map(type, key))


def test_a_key_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(TableRefused, match="timedelta"):
        write_position((timedelta(1),), None)


def test_chunks_double_until_one_is_slow_and_then_grow_slowly() -> None:
    pace = Pace(most=5000, target_ms=100)
    sizes = [pace.size]
    for milliseconds in (5, 5, 5, 150, 10, 10):
        pace.took(milliseconds, pace.size)
        sizes.append(pace.size)
    assert sizes == [200, 400, 800, 1600, 800, 900, 1000]


def test_a_chunk_has_one_row_at_the_least_and_not_more_than_allowed() -> None:
    pace = Pace(most=300, target_ms=100)
    pace.took(1, 200)
    assert pace.size == 300
    for _ in range(20):
        pace.took(1000, 1)
    assert pace.size == 1


def test_a_chunk_that_was_not_full_says_nothing_about_larger_ones() -> None:
    pace = Pace(most=5000, target_ms=100)
    pace.took(1, 3)
    assert pace.size == 200


def test_a_hash_is_the_same_for_the_same_text_and_stays_when_hashed_again() -> None:
    one = hashed("ada@example.com", b"secret", None)
    assert one == hashed("ada@example.com", b"secret", None) != hashed("ada@example.com", b"other", None)
    assert hashed(one, b"secret", None) == one
    assert len(hashed("ada", b"secret", 20)) == 20
    assert hashed(hashed("ada", b"secret", 20), b"secret", 20) == hashed("ada", b"secret", 20)
    assert hashed(None, b"secret", None) is None
    assert hashed("anon-nymous", b"secret", None) != "anon-nymous"


def test_a_pattern_gives_a_row_the_same_text_each_time() -> None:
    pattern = "u{key}-{digits:6}-{letters:4}@example.invalid"
    text = filled(pattern, (7, "x"), "email")
    assert text == filled(pattern, (7, "x"), "email") != filled(pattern, (8, "x"), "email")
    start, digits, letters = text.removesuffix("@example.invalid").rsplit("-", 2)
    assert (start, len(digits), digits.isdigit(), len(letters), letters.isalpha()) == ("u7-x", 6, True, 4, True)


def test_names_of_archives_are_files_names_and_differ_for_each_run_and_table() -> None:
    runs = ["job-1", "JOB-1", "job/1", "job_1", "x" * 128, "x" * 127]
    names = {archive_name("p" * 64, run, number, "Größe, ../x" * 20) for run in runs for number in (1, 2)}
    assert len(names) == 2 * len(runs)
    assert all(checked_name(name) for name in names)
