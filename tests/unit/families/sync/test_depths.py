"""A body that is nested deep takes no more memory than another of its size, and loses no record but the deep one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac.families.sync.history import text_of
from celeriac.families.sync.http.decoding import NotJson, decode, examine
from celeriac.families.sync.http.streamed import StreamedBody

#: Reads bodies that come on stdin, in pieces or whole, each in a process with 300 MB more than it has to begin with.
#: It is forked, because the imports take longer than all of the bodies do.
READING = """
import os, resource, sys, traceback
from celeriac.families.sync.http.decoding import NotJson, decode, examine
from celeriac.families.sync.http.streamed import StreamedBody

def answer(how, size):
    body = b"".join(iter_read(size))
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + 300_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        if how == "whole":
            items = decode(body).value["items"]
        else:
            reading = StreamedBody("items", ["meta.next"])
            for at in range(0, len(body), 65_536):
                reading.feed(body[at : at + 65_536])
            reading.end()
            items = reading.take().value
        examined = examine(items, is_strict=False)
        return f"{len(examined.records)} {[one.reason for one in examined.refused]}"
    except NotJson as error:
        return str(error)

def iter_read(size):
    while size:
        yield (piece := os.read(0, size))
        size -= len(piece)

for line in open(0, "rb", buffering=0, closefd=False):
    if (child := os.fork()) == 0:
        how, size = line.decode().split()
        try:
            print(answer(how, int(size)), flush=True)
        except BaseException:
            print(repr(traceback.format_exc()), flush=True)
        os._exit(0)
    if status := os.waitpid(child, 0)[1]:
        print("ended with status", status, flush=True)
"""

LEVELS = 100_000
NAME = b'{"%s":' % (b"n" * 20_000)
DEEP = {
    "lists": b"[" * LEVELS + b"]" * LEVELS,
    "objects": b'{"a":' * LEVELS + b"1" + b"}" * LEVELS,
    "long names": NAME * 450 + b"1" + b"}" * 450,
}
BODIES = {
    "in a record": b'{"items":[{"id":1,"v":%s},{"id":2}],"meta":{"next":7}}',
    "in the token": b'{"items":[{"id":2},{}],"meta":{"next":%s}}',
    "beside it": b'{"meta":{"x":%s,"next":7},"items":[{"id":2},{}]}',
    "beside all": b'{"x":%s,"items":[{"id":2},{}]}',
}


@pytest.fixture(scope="module")
def read() -> Iterator[Callable[[bytes, str], str]]:
    """Says what becomes of a body that is read "whole" or in "pieces" by a process with little memory."""
    command = [sys.executable, "-c", READING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        assert process.stdout
        written, told = process.stdin, process.stdout

        def tell(body: bytes, how: str) -> str:
            rest = memoryview(f"{how} {len(body)}\n".encode() + body)
            while rest:
                rest = rest[written.write(rest) :]
            return told.readline().decode().strip()

        yield tell


@pytest.mark.parametrize("how", ["whole", "pieces"])
@pytest.mark.parametrize("deep", DEEP)
@pytest.mark.parametrize("where", BODIES)
def test_a_deep_body_takes_the_memory_of_its_size(
    where: str, deep: str, how: str, read: Callable[[bytes, str], str]
) -> None:
    expected = "1 ['is nested deeper than 254 levels']" if where == "in a record" else "2 []"
    assert read(BODIES[where] % DEEP[deep], how) == expected


def nested(levels: int, innermost: str = "1") -> str:
    return '{"a":' * (levels - 1) + f"[{innermost}]" + "}" * (levels - 1)


@pytest.mark.parametrize("around", ['"x"', "NaN", '"\\ud800"', "1" * 30, "1" * 5_000])
@pytest.mark.parametrize("levels", [253, 254, 255, 300, 507, 508, 509, 1_000, 1_023, 1_024, 1_025, 2_000, 100_000])
def test_only_a_record_of_more_than_254_levels_is_refused_because_of_them(levels: int, around: str) -> None:
    deep = nested(levels, '"]}\\"[{"')
    body = f'[{{"id": 1}}, {deep}, {{"id": 2}}, {{"v": {around}}}, {{"id": 3}}]'.encode()
    reading = StreamedBody("", [])
    reading.feed(body)
    reading.end()
    for decoded in (decode(body), reading.take()):
        found = examine(decoded.value, is_strict=decoded.is_strict)
        assert [record["id"] for record in found.records if "id" in record] == [1, 2, 3]
        reasons = {one.position: one.reason for one in found.refused}
        assert (reasons.get(1) == "is nested deeper than 254 levels") is (levels > 254)
        assert all(text_of(one.record) for one in found.refused)
        if levels <= 254:
            assert json.loads(deep) in found.records


def test_a_deep_item_that_is_no_record_is_refused_and_shown() -> None:
    found = examine(decode(b"[" * 100_000 + b"]" * 100_000).value)
    assert [one.reason for one in found.refused] == ["is no object"]
    assert text_of(found.refused[0].record).startswith("[[[[")


def test_a_deep_body_that_is_cut_is_cut() -> None:
    for body in (b'{"a": ' + b"[" * 100_000, b"[" * 2_000 + b'"\\'):
        with pytest.raises(NotJson) as refused:
            decode(body)
        assert refused.value.is_cut


def test_a_record_that_nobody_could_write_is_shown_all_the_same() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert text_of({"v": deep}) == "(a record that is nested too deep to be shown)"
