"""What a function must be to be a job, and how arguments and results pass through JSON."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, Field

from celeriac import ConfigurationError, InvalidArguments, InvalidJobDefinition, InvalidResult, JobContext, Retry
from celeriac.core.job_options import JobOptions
from celeriac.core.spec import JobSpec


class Address(BaseModel):
    street: str
    since: date | None = None


class NotJson:
    """A type that pydantic knows nothing of."""


async def welcome(user: int, greeting: str = "Hello", *, loud: bool = False) -> str: ...
def ordered(first: int, second: int = 2, third: int = 3, /, fourth: int = 4) -> tuple[int, ...]:
    return first, second, third, fourth


def spec_of(function: Callable[..., Any]) -> JobSpec:
    return JobSpec("shop.job", function)


def encoded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return json.loads(spec_of(function).encode(args, kwargs))


NOBODY = cast(JobContext, object())


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((7,), {}, {"user": 7}),
        ((), {"user": 7, "loud": True}, {"user": 7, "loud": True}),
        ((7, "Hi"), {"loud": False}, {"user": 7, "greeting": "Hi", "loud": False}),
        (("7",), {}, {"user": 7}),
    ],
)
def test_arguments_are_validated_coerced_and_named_and_defaults_stay_with_the_function(
    args: Sequence[Any], kwargs: Mapping[str, Any], expected: dict[str, Any]
) -> None:
    assert encoded(welcome, *args, **kwargs) == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "loc", "message"),
    [
        ((), {}, ("user",), "Field required"),
        (("seven",), {}, ("user",), "valid integer"),
        ((7,), {"name": "x"}, ("name",), "not permitted"),
        ((7,), {"user": 7}, ("user",), "was given twice"),
        ((7, "Hi", True, 1), {}, (), "takes 3 arguments, got 4"),
        ((7, "\ud800"), {}, ("greeting",), "cannot be sent as JSON"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_their_place(
    args: Sequence[Any], kwargs: Mapping[str, Any], loc: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidArguments, match=r"job 'shop\.job'") as caught:
        encoded(welcome, *args, **kwargs)
    assert [fault["loc"] for fault in caught.value.errors] == [loc]
    assert message in caught.value.errors[0]["msg"]


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(InvalidArguments) as caught:
        encoded(welcome, "seven", loud="perhaps")
    assert {fault["loc"] for fault in caught.value.errors} == {("user",), ("loud",)}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), [1.0, float("nan")]])
def test_numbers_that_json_does_not_have_are_refused_and_not_sent_as_null(value: Any) -> None:
    def measure(value: float | list[float]) -> None: ...

    with pytest.raises(InvalidArguments, match="finite number"):
        encoded(measure, value)


@pytest.mark.parametrize("value", [object(), b"\xff", "\ud800", lambda: None], ids=["object", "bytes", "text", "code"])
def test_an_unannotated_argument_that_json_cannot_hold_is_refused(value: Any) -> None:
    def anything(value) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(InvalidArguments, match="cannot be sent as JSON"):
        encoded(anything, value)


def test_rich_types_come_back_as_what_they_were() -> None:
    def move(to: Address, when: datetime, order: UUID) -> tuple[Any, ...]:
        return to, when, order

    given = Address(street="Elm", since=date(2026, 1, 2)), datetime(2026, 5, 4, 3, 2), UUID(int=5)
    spec = spec_of(move)
    message = json.loads(spec.encode(given, {}))
    assert spec.call(spec.validate((), message), NOBODY) == given


@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_config", "self", "_private", "__x", "dict", "größe"])
def test_an_argument_may_have_any_name(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def job({name}: int) -> int: return {name}", scope)
    spec = spec_of(scope["job"])
    assert json.loads(spec.encode((), {name: "3"})) == {name: 3}
    assert spec.call({name: 3}, NOBODY) == 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"first": 1}, (1, 2, 3, 4)),
        ({"first": 1, "second": 9, "fourth": 8}, (1, 9, 3, 8)),
        ({"first": 1, "third": 9}, (1, 2, 9, 4)),
    ],
)
def test_positional_only_arguments_keep_their_places(given: dict[str, int], expected: tuple[int, ...]) -> None:
    spec = spec_of(ordered)
    assert spec.call(spec.validate((), given), NOBODY) == expected


def context_first(context: JobContext, number: int) -> Any:
    return context, number


def context_positional_only(context: JobContext, /, number: int) -> Any:
    return context, number


def context_by_keyword(number: int, *, context: JobContext) -> Any:
    return context, number


@pytest.mark.parametrize("function", [context_first, context_positional_only, context_by_keyword])
def test_the_context_is_no_argument_and_is_filled_in(function: Callable[..., Any]) -> None:
    spec = spec_of(function)
    assert list(spec.signature.parameters) == ["number"]
    assert json.loads(spec.encode((1,), {})) == {"number": 1}
    assert spec.call({"number": 1}, NOBODY) == (NOBODY, 1)
    with pytest.raises(InvalidArguments, match="context"):
        spec.encode((1,), {"context": {}})


def test_a_job_knows_whether_it_is_async() -> None:
    assert spec_of(welcome).is_async
    assert not spec_of(ordered).is_async


def test_defaults_show_in_the_schema_where_json_can_show_them() -> None:
    def job(plain: int = 3, odd: Any = NotJson()) -> None: ...  # noqa: B008

    schema = spec_of(job).arguments.json_schema()
    assert schema["properties"]["plain"]["default"] == 3
    assert "default" not in schema["properties"]["odd"]
    assert "required" not in schema


def two_contexts(one: JobContext, other: JobContext) -> None: ...
def var_positional(*numbers: int) -> None: ...
def var_keyword(**options: int) -> None: ...
def odd_argument(value: NotJson) -> None: ...
def odd_result() -> NotJson: ...
def unresolved(value: "OnlyForTypeCheckers") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (two_contexts, "has 2 JobContext parameters: keep one"),
        (var_positional, r"\*numbers: int cannot be validated; name each argument"),
        (var_keyword, r"\*\*options: int cannot be validated; name each argument"),
        (odd_argument, "an argument has a type that cannot be sent as JSON: .*NotJson"),
        (odd_result, "its result has a type that cannot be sent as JSON: .*NotJson"),
        (unresolved, "'OnlyForTypeCheckers' is not defined; import it outside `if TYPE_CHECKING`"),
    ],
)
def test_a_function_that_cannot_be_a_job_is_refused_where_it_is_defined(
    function: Callable[..., Any], message: str
) -> None:
    with pytest.raises(InvalidJobDefinition, match=f"job 'shop.job'.*{message}"):
        spec_of(function)


class Colour(Enum):
    RED = "red"


SOUND = [
    *(Any, None, bool, int, float, str, bytes, Decimal, UUID, date, datetime, time, timedelta, Address, Colour),
    *(list, dict, tuple, set, frozenset, list[int], dict[str, list[Address]], tuple[int, ...], tuple[()], set[str]),
    *(int | None, Colour | None, Literal["a", 1], list[dict[UUID, date | None]]),
]


@pytest.mark.parametrize("annotation", SOUND, ids=str)
def test_nothing_is_built_where_a_job_of_sound_types_is_defined(annotation: Any) -> None:
    def job(value: Any, other: int = 1) -> Any: ...

    job.__annotations__.update({"value": annotation, "return": annotation})
    spec = spec_of(job)
    assert not {"shape", "arguments", "result_type"} & vars(spec).keys()
    assert spec.arguments.json_schema() and spec.result_type.serializer  # and it can be


@pytest.mark.parametrize("annotation", [NotJson, list[NotJson], dict[str, NotJson | None], Annotated[NotJson, "x"]])
def test_types_that_may_be_unsound_are_looked_at_where_a_job_is_defined(annotation: Any) -> None:
    with pytest.raises(InvalidJobDefinition, match=r"its result has a type that cannot be sent as JSON: .*NotJson"):
        returning(annotation)
    assert "result_type" in vars(returning(Annotated[int, Field(ge=0)]))


def returning(annotation: Any) -> JobSpec:
    def job() -> Any: ...

    job.__annotations__["return"] = annotation
    return spec_of(job)


@pytest.mark.parametrize(
    ("annotation", "returned", "stored"),
    [
        (None, None, None),
        (int, "3", 3),
        (Any, {"a": [1, None]}, {"a": [1, None]}),
        (tuple[int, date], (1, date(2026, 1, 2)), [1, "2026-01-02"]),
        (dict[int, str], {1: "x"}, {"1": "x"}),
        (Address | None, Address(street="Elm"), {"street": "Elm", "since": None}),
    ],
)
def test_a_result_is_stored_as_json_types_and_read_back_as_annotated(
    annotation: Any, returned: Any, stored: Any
) -> None:
    spec = returning(annotation)
    assert spec.dump_result(returned) == stored
    assert spec.load_result(orjson.loads(orjson.dumps(stored))) == (int(returned) if annotation is int else returned)


@pytest.mark.parametrize(
    ("annotation", "returned", "message"),
    [
        (int, "three", "does not fit its annotation: result: Input should be a valid integer"),
        (list[int], [1, "x"], "does not fit its annotation: 1: "),
        (None, 5, "does not fit its annotation"),
        (Any, object(), "cannot be sent as JSON"),
        (Any, b"\xff", "cannot be sent as JSON"),
        (Any, "\ud800", "cannot be sent as JSON"),
        (float, float("nan"), "cannot be sent as JSON"),
        (list[float], [0.5, float("-inf")], "cannot be sent as JSON"),
    ],
)
def test_a_result_that_readers_could_not_be_given_back_is_refused(annotation: Any, returned: Any, message: str) -> None:
    with pytest.raises(InvalidResult, match=rf"result of job 'shop\.job' {message}"):
        returning(annotation).dump_result(returned)


@pytest.mark.parametrize(
    ("option", "value"), [("timeout", 0), ("timeout", -1.5), ("queue", ""), ("queue", "q" * 201), ("priority", 10)]
)
def test_a_wrong_option_is_named_with_its_value(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{option}={value!r}: "):
        JobOptions(**{option: value})


def test_an_isolated_jobs_limit_is_not_left_to_the_pool() -> None:
    assert JobOptions(timeout=5, isolate=True).hard_limit is None
    assert (JobOptions(timeout=5).hard_limit or 0) > 5


def test_a_job_by_default_runs_once_without_limit_and_is_exposed() -> None:
    assert JobOptions() == JobOptions(queue=None, retry=Retry(attempts=1), timeout=None, exposed=True, isolate=False)


def test_a_decorated_function_keeps_its_signature() -> None:
    @functools.wraps(welcome)
    async def logged(*args: Any, **kwargs: Any) -> str:
        return await welcome(*args, **kwargs)

    assert list(spec_of(logged).signature.parameters) == ["user", "greeting", "loud"]
