"""A body that is read in pieces gives what it gives as a whole, wherever the pieces end."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.bodies import items_at
from celeriac.families.sync.http.decoding import NotJson, decode, examine
from celeriac.families.sync.http.paginator import find_in
from celeriac.families.sync.http.passing import Passing
from celeriac.families.sync.http.paths import compile_path
from celeriac.families.sync.http.streamed import StreamedBody

PATHS = ["meta.next", "meta", "error", "links.next", "a.b"]
TEXTS = ["", "a", 'q"q', "b\\", '\\"', "[{", "}],", "ä€😀", "\n\t", "\ud800", "data", "x" * 40]


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.choice([0, -1, 2**70, 123456789012345678901])
    if kind == 2:
        return chance.choice([1.5, 0.1, 1e300, float("nan")])
    if kind < 6:
        return chance.choice(TEXTS)
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(TEXTS): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def body(chance: random.Random, records: str) -> bytes:
    items = [value(chance) for _ in range(chance.randrange(12))]
    if not records:
        around: Any = items
    else:
        around = {name: value(chance, 2) for name in ("before", "other", "data2")}
        inner: Any = items
        for name in reversed(records.split(".")[1:]):
            inner = {"x": value(chance, 3), name: inner, "item": [1]}
        around[records.split(".")[0]] = inner
        around |= {"meta": {"next": value(chance, 3), "no": [[1], {"next": 2}]}, "error": value(chance, 2), "a.b": 7}
    indent = chance.choice([None, 1])
    return json.dumps(around, ensure_ascii=chance.random() < 0.5, indent=indent).encode("utf-8", "backslashreplace")


def streamed(text: bytes, records: str, sizes: random.Random | int) -> tuple[list[Any], StreamedBody, bool]:
    reading = StreamedBody(records, PATHS)
    items: list[Any] = []
    is_strict = True
    at = 0
    while at < len(text):
        size = sizes if isinstance(sizes, int) else sizes.choice([1, 2, 3, 7, 50])
        reading.feed(text[at : at + size])
        at += size
        if len(reading) > 2:
            taken = reading.take()
            items += taken.value
            is_strict &= taken.is_strict
    reading.end()
    taken = reading.take()
    return items + taken.value, reading, is_strict and taken.is_strict


@pytest.mark.parametrize("records", ["", "data", "data.items"])
@pytest.mark.parametrize("seed", range(60))
def test_pieces_give_what_the_whole_gives(seed: int, records: str) -> None:
    chance = random.Random(seed)
    text = body(chance, records)
    try:
        whole = decode(text).value
    except NotJson:
        with pytest.raises((NotJson, Passing)):
            streamed(text, records, chance)
        return
    for sizes in (chance, 1, 1_000_000):
        items, reading, is_strict = streamed(text, records, sizes)
        expected = items_at(compile_path(records), whole)
        assert repr(items) == repr(expected)
        assert examine(items, is_strict=is_strict).refused == examine(
            expected, is_strict=False
        ).refused or "nan" in repr(items)
        for path in PATHS if records else ():
            assert repr(reading.find(path)) == repr(find_in(whole)(path)), path


@pytest.mark.parametrize(
    "text",
    [
        *(b'{"data": [1 2]}', b'{"data": [1,]}', b'{"data": [{} {}]}', b'{"data": [{}}', b'{"data": [{]}]}'),
        *(b'{"data": []}}', b'{"data": []} x', b'{"data" []}', b'{"data": [{"a": tru}]}', b'{"data": [{},,{}]}'),
        *(b'{"data": [,{}]}', b'{"data": [\xff]}', b'{"data": ["\x01"]}', b"\xff\xfe[\x00]\x00"),
    ],
)
def test_what_is_no_json_is_none_in_pieces_either(text: bytes) -> None:
    with pytest.raises(NotJson):
        decode(text)
    for size in (1, 3, 1_000):
        with pytest.raises(NotJson):
            streamed(text, "data", size)


@pytest.mark.parametrize(
    "text", [b'{"data": [', b'{"data": [{"a": "x', b'{"data": [1]', b'{"a": "x\\', b'{"b": [[1]', b"["]
)
def test_a_body_that_is_cut_ends_too_early(text: bytes) -> None:
    for size in (1, 1_000):
        with pytest.raises(Passing, match="ends too early"):
            streamed(text, "data", size)


def test_what_no_path_leads_to_is_not_kept() -> None:
    reading = StreamedBody("data", ["meta.next"])
    reading.feed(b'\xef\xbb\xbf{"included": [')
    for _ in range(1_000):
        reading.feed(b'{"long": "' + b"x" * 100 + b'"},')
        assert len(reading._buffer) < 500  # pyright: ignore[reportPrivateUsage]
    reading.feed(b'1], "meta": {"next": "n"}, "data": [{}]}')
    reading.end()
    assert reading.take().value == [{}] and reading.find("meta.next") == "n"
    assert len(reading._around) < 100  # pyright: ignore[reportPrivateUsage]


def test_two_lists_of_records_are_an_error() -> None:
    with pytest.raises(SourceFailed, match="the body has records: 'data' twice"):
        streamed(b'{"data": [{}], "data": []}', "data", 5)
