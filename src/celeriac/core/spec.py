"""The specification of a job: its function, its typed signature, and the options for running it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Generic, NotRequired, TypeVar, get_type_hints

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, WrapValidator, with_config
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from typing_extensions import TypedDict

from celeriac.core import codec
from celeriac.core.annotations import is_sound
from celeriac.core.errors import InvalidArguments, InvalidJobDefinition, InvalidResult
from celeriac.core.faults import message, sentence
from celeriac.core.injected import Injected, is_injected
from celeriac.core.job_options import JobOptions

R = TypeVar("R")


@dataclass(frozen=True)  # no slots: CPython 3.11's `Call[int](...)` cannot be a frozen class with slots
class Call(Generic[R]):
    """A job with validated arguments, ready to be enqueued. `arguments` is a JSON object as bytes."""

    spec: JobSpec
    arguments: bytes


@dataclass(frozen=True)
class JobSpec:
    """A function that can run as a job: its name, argument types and result type."""

    name: str
    function: Callable[..., Any]
    options: JobOptions = field(default_factory=JobOptions)

    def __post_init__(self) -> None:
        # Decorating a function that cannot be a job raises. What is sound is built on first use.
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise InvalidJobDefinition(f"job {self.name!r}: {parameter} cannot be validated; name each argument")
        if not all(is_sound(self._hints.get(name, Any)) for name in self._names):
            _ = self.arguments
        if not is_sound(self._hints.get("return", Any)):
            _ = self.result_type

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature without the parameter that a worker fills in."""
        parameters = [p for p in self._parameters.values() if p.name != self.context_parameter]
        return inspect.Signature(parameters)

    @cached_property
    def context_parameter(self) -> str | None:
        """Name of the parameter annotated `JobContext`, if there is one."""
        names = [name for name in self._parameters if is_injected(self._hints.get(name))]
        if len(names) > 1:
            raise InvalidJobDefinition(f"job {self.name!r} has {len(names)} JobContext parameters: keep one")
        return names[0] if names else None

    @cached_property
    def shape(self) -> Any:
        """The arguments as a TypedDict type, which `arguments` validates and OpenAPI shows.

        It is not a model, because arguments may have any name, even `json` or `copy`. An argument with a default may be
        absent. Then the function's own default applies where it runs.
        """
        fields: dict[str, Any] = {}
        for parameter in self.signature.parameters.values():
            fields[parameter.name] = _field(self._hints.get(parameter.name, Any), parameter.default)
        shape = TypedDict(self.name.replace(".", "_"), fields)  # pyright: ignore
        # JSON has no NaN and no infinities: they would arrive as null.
        return with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(shape)  # pyright: ignore

    @cached_property
    def sent_shape(self) -> Any:
        """The type of arguments parsed from JSON, where even a strict type accepts a time as text."""
        if not self._is_strict:
            return self.shape

        def as_json(given: Any, _: object) -> Any:
            return self.arguments.validator.validate_json(codec.dumps(given))

        return Annotated[self.shape, WrapValidator(as_json)]

    @cached_property
    def arguments(self) -> TypeAdapter[dict[str, Any]]:
        """The validator and serializer of the arguments, a dict by name. It refuses unknown names."""
        try:
            return TypeAdapter(self.shape)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
            raise InvalidJobDefinition(
                f"job {self.name!r}: an argument has a type that cannot be sent as JSON: {_first_line(error)}"
            ) from None

    @cached_property
    def result_type(self) -> TypeAdapter[Any]:
        """The validator and serializer of the returned value."""
        annotation = self._hints.get("return", Any)
        try:
            return TypeAdapter(annotation)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
            raise InvalidJobDefinition(
                f"job {self.name!r}: its result has a type that cannot be sent as JSON: {_first_line(error)}"
            ) from None

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Validate the arguments of a call, and encode them as a JSON object.

        Raises:
            InvalidArguments: they do not fit the signature, or cannot be sent as JSON.
        """
        return self._dump(self.validate(args, kwargs))

    def validate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Validate the arguments of a call.

        Raises:
            InvalidArguments: they do not fit the signature.
        """
        return self._validate(self._given(args, kwargs))

    def validate_sent(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Validate arguments parsed from JSON, where even a strict type accepts a `datetime` as text.

        Raises:
            InvalidArguments: they do not fit the signature.
        """
        given = self._given(args, kwargs)
        if not self._is_strict:  # then JSON and Python accept the same
            return self._validate(given)
        try:
            encoded = codec.dumps(given)
        except (TypeError, ValueError):  # another serializer brought it, such as pickle
            return self._validate(given)
        return self._validate(encoded)

    def _validate(self, given: dict[str, Any] | bytes) -> dict[str, Any]:
        validator = self.arguments.validator
        try:
            return validator.validate_json(given) if isinstance(given, bytes) else validator.validate_python(given)
        except ValidationError as error:
            raise InvalidArguments(self.name, _faults(error)) from None

    def encode_validated(self, arguments: dict[str, Any]) -> bytes:
        """Encode arguments that `shape` has validated already. The HTTP API calls this."""
        return self._dump(arguments)

    def call(self, arguments: dict[str, Any], context: Injected | None) -> Any:
        """Call the function, with `context` if it wants one; for an `async def` job this returns its coroutine."""
        values = dict(arguments)
        if self.context_parameter is not None:
            values[self.context_parameter] = context
        positional = [values.pop(p.name, p.default) for p in self._positional_only]
        return self.function(*positional, **values)

    def dump_result(self, value: Any) -> Any:
        """Validate the returned value against the annotation, and turn it into JSON types.

        Raises:
            InvalidResult: it does not fit the annotation, or JSON would change it.
        """
        try:
            valid = self.result_type.validate_python(value)
            dumped = self.result_type.dump_python(valid, mode="json")
        except ValidationError as error:
            faults = sentence(_faults(error), "result")
            raise InvalidResult(f"the result of job {self.name!r} does not fit its annotation: {faults}") from None
        except (TypeError, ValueError) as error:
            raise self._unfit_result(codec.faults(value), error) from None
        if valid is not None and not _comes_back(dumped) and (faults := self._lost(valid, dumped)):
            raise self._unfit_result(faults)
        return dumped

    def load_result(self, value: Any) -> Any:
        """Turn a stored result back into the annotated type."""
        return self.result_type.validate_json(codec.dumps(value))

    def _given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._by_name(args, kwargs) if args else dict(kwargs)

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = self._names
        if len(args) > len(names):
            fault = {"loc": (), "msg": f"takes {len(names)} arguments, got {len(args)}", "type": "too_many"}
            raise InvalidArguments(self.name, [fault])
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            faults = [{"loc": (name,), "msg": "was given twice", "type": "twice"} for name in sorted(twice)]
            raise InvalidArguments(self.name, faults)
        given.update(kwargs)
        return given

    def _dump(self, arguments: dict[str, Any]) -> bytes:
        try:
            encoded = self.arguments.serializer.to_json(arguments)
        except ValueError as error:
            faults = codec.faults(arguments) or [codec.Fault((), _first_line(error))]
        else:
            faults = codec.hidden_faults(self.arguments, arguments, encoded, floats=self._may_take_floats)
            if not faults:
                return encoded
        told = [{"loc": path, "msg": f"cannot be sent as JSON: {reason}", "type": "json"} for path, reason in faults]
        raise InvalidArguments(self.name, told)

    def _lost(self, result: Any, dumped: Any) -> list[codec.Fault]:
        """Return the parts of a result that JSON would change. `dumped` is what pydantic made of the result."""
        try:
            encoded = orjson.dumps(dumped)
        except TypeError:  # an integer beyond 64 bits, which can be sent, or text that cannot
            if faults := codec.faults(dumped):
                return faults
            encoded = codec.dumps(dumped)
        return codec.hidden_faults(self.result_type, result, encoded, floats=self._may_return_floats)

    def _unfit_result(self, faults: Sequence[codec.Fault], error: Exception | None = None) -> InvalidResult:
        told = "; ".join(map(str, faults)) or _first_line(error or ValueError())
        return InvalidResult(f"the result of job {self.name!r} cannot be sent as JSON: {told}")

    @cached_property
    def _is_strict(self) -> bool:
        return codec.is_strict(self.arguments)

    @cached_property
    def _may_take_floats(self) -> bool:
        return codec.may_hold_floats(self.arguments)

    @cached_property
    def _may_return_floats(self) -> bool:
        return codec.may_hold_floats(self.result_type)

    @cached_property
    def _names(self) -> Sequence[str]:
        return tuple(self.signature.parameters)

    @cached_property
    def _positional_only(self) -> Sequence[inspect.Parameter]:
        return tuple(p for p in self._parameters.values() if p.kind is p.POSITIONAL_ONLY)

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self.function, include_extras=True)
        except NameError as error:
            raise InvalidJobDefinition(
                f"job {self.name!r}: a type of its signature cannot be resolved at run time: {error}; "
                "import it outside `if TYPE_CHECKING`"
            ) from None


def _field(annotation: Any, default: Any) -> Any:
    """Make the TypedDict field of one argument. A default makes it optional, and shows in the JSON schema."""
    if default is inspect.Parameter.empty:
        return annotation
    try:
        shown = codec.loads(codec.dumps(default))
    except (TypeError, ValueError):
        return NotRequired[annotation]
    return NotRequired[Annotated[annotation, Field(json_schema_extra={"default": shown})]]


def _comes_back(dumped: object) -> bool:
    """Return whether a result is so plain that no JSON reader changes it. It runs after each job, so it is fast."""
    if isinstance(dumped, int):
        return -(2**63) <= dumped < 2**63
    if isinstance(dumped, str):
        return dumped.isascii()
    return isinstance(dumped, float) and math.isfinite(dumped)


def _faults(error: ValidationError) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{**fault, "msg": message(fault)} for fault in found]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
