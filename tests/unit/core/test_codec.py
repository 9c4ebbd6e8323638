"""What is written as JSON and read again is what it was, or is refused with its place."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, cast
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SerializeAsAny, TypeAdapter, field_serializer

from celeriac import InvalidArguments, InvalidResult
from celeriac.core import codec
from celeriac.core.spec import JobSpec
from tests.support.values import BEYOND_JSON, EXACT, VALUES, is_strict, spelt


class Box(BaseModel):
    amount: float | None = None
    anything: Any = None
    inner: Box | None = None


class LoudBox(Box):
    model_config = ConfigDict(ser_json_inf_nan="constants")


@dataclasses.dataclass
class Crate:
    amount: float
    anything: Any = None


def job_of(annotation: Any) -> JobSpec:
    async def job(payload: Any) -> Any: ...

    job.__annotations__ = {"payload": annotation, "return": annotation}
    return JobSpec("shop.job", job)


ANYTHING, MAPPING, BOX = job_of(Any), job_of(dict[str, Any]), job_of(Box)


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value: Any) -> None:
    assert spelt(codec.loads(codec.dumps(value))) == spelt(value)


@given(VALUES)
def test_what_pythons_own_writer_writes_is_read_as_it_was(value: Any) -> None:
    assert spelt(codec.loads(json.dumps(value))) == spelt(value)
    assert spelt(codec.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"))) == spelt(value)


@pytest.mark.parametrize("value", EXACT + BEYOND_JSON, ids=ascii)
def test_values_that_fast_readers_change_are_read_as_they_were(value: Any) -> None:
    assert spelt(codec.loads(codec.dumps(value))) == spelt(value)
    assert spelt(codec.loads(codec.shown(value))) == spelt(value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b'"\xff"', b"[" * 100_000, b"1" * 5000, b"nan", b"\xef\xbb\xbf1"], ids=len
)
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        codec.loads(text)


def test_the_fast_writer_and_reader_are_used_where_they_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(json, "loads")
    monkeypatch.delattr(json, "dumps")
    usual = {"id": 2**63, "price": 19.99, "name": "Zoë", "none": None, "tags": ["a", -(10**17)]}
    assert codec.loads(codec.dumps(usual)) == usual
    assert codec.loads(orjson.dumps(usual)) == usual


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}])
def test_a_type_that_json_does_not_have_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        codec.dumps([value])


@given(VALUES)
def test_an_argument_arrives_as_it_was_sent_or_is_refused(value: Any) -> None:
    try:
        sent = ANYTHING.encode((value,), {})
    except InvalidArguments as refused:
        assert not is_strict(value)
        assert refused.errors[0]["loc"][0] == "payload"
    else:
        assert is_strict(value)
        assert spelt(ANYTHING.validate((), codec.loads(sent))) == spelt({"payload": value})


@given(VALUES)
def test_a_result_comes_back_as_it_was_returned_or_is_refused(value: Any) -> None:
    try:
        stored = codec.dumps(ANYTHING.dump_result(value))
    except InvalidResult:
        assert not is_strict(value)
    else:
        assert is_strict(value)
        assert spelt(ANYTHING.load_result(codec.loads(stored))) == spelt(value)


@given(st.floats(), VALUES, st.sampled_from([Box, LoudBox]))
def test_what_is_inside_models_arrives_as_it_was_sent_or_is_refused(amount: float, value: Any, kind: type[Box]) -> None:
    box = Box(inner=kind(amount=amount, anything=value))
    try:
        sent, stored = BOX.encode((box,), {}), BOX.dump_result(box)
    except (InvalidArguments, InvalidResult):
        assert not is_strict(value) or not math.isfinite(amount)
    else:
        assert is_strict(value)
        assert math.isfinite(amount)
        arrived = cast(Box, BOX.validate((), codec.loads(sent))["payload"]).inner
        returned = cast(Box, BOX.load_result(codec.loads(codec.dumps(stored)))).inner
        for inner in (arrived, returned):
            assert inner is not None
            assert spelt((inner.amount, inner.anything)) == spelt((amount, value))


@pytest.mark.parametrize(
    ("annotation", "value", "path", "reason"),
    [
        (Any, math.nan, (), "nan, a number that JSON does not have"),
        (dict[str, Any], {"items": [1, {"amount": math.inf}]}, ("items", 1, "amount"), "inf, a number"),
        (dict[str, Any], {"items": ({"name": "\udcff.txt"},)}, ("items", 0, "name"), r"lone surrogate \udcff"),
        (Any, {"\ud800": 1}, (r"\ud800",), "the name is text that is not Unicode"),
        (Any, {"n": [10**5000]}, ("n", 0), "an integer of more than 4300 digits"),
        (Any, {"a": [object()]}, ("a", 0), "unknown type: <class 'object'>"),
        (Any, {"a": {"b": b"\xff"}}, ("a", "b"), "utf-8"),
        (Box, Box(inner=Box(amount=math.nan)), ("inner", "amount"), "nan"),
        (Box, Box(inner=Box(anything=[math.nan])), ("inner", "anything", 0), "nan"),
        (Box, Box(anything="\udcff"), ("anything",), "surrogate"),
        (Any, [Box(anything=Crate(math.nan))], (0, "anything", "amount"), "nan"),
        (Crate, Crate(1.0, {"x": "\udcff"}), ("anything", "x"), "surrogate"),
        (Any, {"box": LoudBox(amount=-math.inf), "none": None}, ("box", "amount"), "-inf"),
        (list[float | None], [None, math.nan], (1,), "nan"),
        (Any, deque([1.0, math.nan]), (1,), "nan"),
        (deque[float], deque([math.nan]), (0,), "nan"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_the_path_to_it(
    annotation: Any, value: Any, path: tuple[str | int, ...], reason: str
) -> None:
    spec = job_of(annotation)
    with pytest.raises(InvalidArguments) as refused:
        spec.encode((), {"payload": value})
    assert refused.value.errors[0]["loc"][: len(path) + 1] == ("payload", *path)
    if "finite number" not in refused.value.errors[0]["msg"]:  # which pydantic says of what is annotated as a number
        assert reason in refused.value.errors[0]["msg"]
    where = ".".join(map(str, path))
    with pytest.raises(InvalidResult) as unfit:
        spec.dump_result(value)
    assert f"cannot be sent as JSON: {where}{': ' if where else ''}" in str(unfit.value)
    assert reason in str(unfit.value)


class Spelt(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    amount: float


def test_what_a_model_writes_as_text_is_no_fault() -> None:
    spec = job_of(Spelt)
    assert codec.loads(spec.encode((), {"payload": Spelt(amount=math.inf)})) == {"payload": {"amount": "Infinity"}}


def test_what_is_nested_too_deeply_to_be_written_is_a_value_error() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        codec.dumps(deep)


class Plain(BaseModel):
    name: str | None = None
    type: Literal["a", "b"] = "a"
    when: list[datetime | None] = []
    inner: Plain | None = None


class Extra(Plain):
    model_config = ConfigDict(extra="allow")


class Base(BaseModel):
    """Its subclasses may have more."""


class Shown(BaseModel):
    name: str

    @field_serializer("name")
    def show(self, name: str) -> Any:
        return float(name)


@pytest.mark.parametrize("annotation", [int, str | None, list[UUID], dict[str, int | None], Plain, tuple[Plain, bool]])
def test_what_cannot_hold_a_float_is_not_searched_for_one(annotation: Any) -> None:
    assert not codec.may_hold_floats(TypeAdapter(annotation))


@pytest.mark.parametrize(
    "annotation",
    [float, Any, dict, list, object, float | None, Box, Crate, list[Box], Decimal, Extra, Shown, SerializeAsAny[Base]],
)
def test_what_may_hold_a_float_is_searched_for_nan(annotation: Any) -> None:
    assert codec.may_hold_floats(TypeAdapter(annotation))


def test_integers_of_any_size_are_sent_wherever_they_are() -> None:
    for value in (2**64 + 1, -(2**70), [2**65], {"x": {"y": math.factorial(30)}}):
        assert ANYTHING.validate((), codec.loads(ANYTHING.encode((value,), {})))["payload"] == value
        assert ANYTHING.load_result(codec.loads(codec.dumps(ANYTHING.dump_result(value)))) == value
    whole = job_of(int)
    assert whole.validate((), codec.loads(whole.encode((2**65 + 1,), {})))["payload"] == 2**65 + 1
