"""Ranges and conditions of RFC 9110."""

import pytest

from celeriac.http.ranges import Part, is_unchanged, part_of

ETAG = '"abc"'
WHOLE = Part(0, 10, is_partial=False)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-3", Part(0, 4, is_partial=True)),
        ("bytes=3-", Part(3, 10, is_partial=True)),
        ("bytes=3-99", Part(3, 10, is_partial=True)),
        ("bytes=-3", Part(7, 10, is_partial=True)),
        ("bytes=-99", Part(0, 10, is_partial=True)),
        ("Bytes = 9-9", Part(9, 10, is_partial=True)),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=5-3", WHOLE),
        ("bytes=0-1,4-5", WHOLE),
        ("lines=0-1", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=a-b", WHOLE),
        ("", WHOLE),
    ],
)
def test_the_part_that_is_asked_for(asked: str, part: Part | None) -> None:
    assert part_of({"range": asked}, 10, ETAG) == part


def test_no_range_lies_in_an_empty_file() -> None:
    assert part_of({"range": "bytes=0-"}, 0, ETAG) is None
    assert part_of({"range": "bytes=-5"}, 0, ETAG) is None
    assert part_of({}, 0, ETAG) == Part(0, 0, is_partial=False)


def test_a_range_of_another_version_is_answered_with_the_whole() -> None:
    assert part_of({"range": "bytes=3-", "if-range": '"older"'}, 10, ETAG) == WHOLE
    assert part_of({"range": "bytes=3-", "if-range": ETAG}, 10, ETAG) == Part(3, 10, is_partial=True)


@pytest.mark.parametrize(
    ("given", "unchanged"), [(ETAG, True), (f'W/{ETAG}, "x"', True), ("*", True), ('"x"', False), (None, False)]
)
def test_what_the_caller_has_already(given: str | None, unchanged: bool) -> None:
    assert is_unchanged({} if given is None else {"if-none-match": given}, ETAG) is unchanged
