"""What an HTTP source is, and what its streams are: the part of a definition that reader.py follows."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from celeriac.core.exact import Exact
from celeriac.families.sync.http.auth_model import Auth, QueryAuth
from celeriac.families.sync.http.pagination_model import LinkPagination, Pagination
from celeriac.families.sync.http.paths import PathText
from celeriac.families.sync.http.templates import check_template, fields_in
from celeriac.families.sync.http.urls import HttpUrl, Origin

ParamValue = str | int | float | bool | list[str]
Params = dict[Annotated[str, Field(min_length=1, max_length=200)], ParamValue]
_Seconds = Annotated[float, Field(gt=0, le=3600)]

#: Headers that the reader writes itself.
_OWN_HEADERS = frozenset({"accept-encoding", "authorization", "connection", "content-length", "host", "cookie"})


class Rate(Exact):
    """A budget of requests, which all syncs of one host share, in all workers."""

    requests: int = Field(ge=1, le=1_000_000)
    """How many requests may be sent."""
    seconds: float = Field(default=1, gt=0, le=86_400)
    """In how many seconds."""
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """How many requests may be under way at a time; unset: each stream has one."""


class ErrorRule(Exact):
    """How an answer with status 200 says that it is an error."""

    path: PathText
    """Where the error is in the body."""
    unless: list[JsonValue] = Field(default_factory=lambda: [None, False, "", 0])
    """Values that mean that there is none. A missing value means so, too."""
    passing: list[JsonValue] = Field(default_factory=list[JsonValue])
    """Values that pass, such as `rate_limited`: the request is sent again."""


class Since(Exact):
    """The parameter that asks for records from a value of the stream's cursor on."""

    param: str = Field(min_length=1, max_length=200)
    """Its name."""
    format: Literal["as_is", "iso", "epoch_seconds", "epoch_milliseconds"] = "as_is"
    """How the value is written. ISO times and numbers are converted into each other, in UTC."""
    first: str | int | None = None
    """What a first run sends, for APIs that need the parameter. Unset: nothing."""


class HttpStream(Exact):
    """One kind of records of an API. What it leaves out is as the source says."""

    path: str = ""
    """Below the source's URL; `{parent.id}` stands for a field of the parent's record."""
    params: Params = Field(default_factory=dict)
    """Parameters of the query. Texts may have `{parent.id}`, too."""
    records: PathText | None = None
    """Where the list of records is in the body; empty: the body is the list. `$` makes the whole body one record."""
    pagination: Pagination | None = None
    """How its next page is asked for."""
    error: ErrorRule | None = None
    """How its answers say that they are errors."""
    since: Since | None = None
    """How to ask for what has changed since the last run. Needs the stream's `cursor`."""

    @property
    def fields_of_parent(self) -> set[str]:
        """The fields of the parent's record that it needs."""
        return set[str]().union(
            *(fields_in(text) for text in (self.path, *self.params.values()) if isinstance(text, str))
        )

    @field_validator("path")
    @classmethod
    def _below(cls, value: str) -> str:
        check_template(value)
        if "://" in value or value.startswith("//") or "?" in value or "#" in value:
            raise ValueError("give a path below the source's url, and parameters in params")
        return value

    @field_validator("params")
    @classmethod
    def _filled(cls, value: Params) -> Params:
        for each in value.values():
            if isinstance(each, str):
                check_template(each)
        return value


class HttpSource(Exact):
    """An API that is read by HTTP GET."""

    type: Literal["http"] = "http"
    """What it is, for readers."""
    url: HttpUrl
    """Where it is, such as `https://api.example.com/v1`. Paths of streams are below it."""
    also: list[Origin] = Field(default_factory=list)
    """Other origins that next URLs and redirects may lead to. They get the credentials, too."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers of each request. Credentials go into `auth`."""
    params: Params = Field(default_factory=dict)
    """Parameters of each stream's query."""
    auth: Auth | None = None
    """How requests prove who sends them."""
    pagination: Pagination = Field(default_factory=LinkPagination)
    """How the next page is asked for."""
    records: PathText = ""
    """Where the list of records is in the body: a dotted path, or JSONPath from `$` on. Empty: the body is the list."""
    error: ErrorRule | None = None
    """How an answer with status 200 says that it is an error."""
    rate: Rate | None = None
    """How many requests the API may be sent."""
    attempts: int = Field(default=6, ge=1, le=100)
    """How often a page is asked for, while errors come that may pass."""
    backoff: float = Field(default=0.5, ge=0, le=60)
    """Seconds before the second attempt. They double each time, up to 30."""
    connect_timeout: _Seconds = 10
    """Seconds in which a connection has to be made."""
    read_timeout: _Seconds = 60
    """Seconds for which the API may be silent."""
    timeout: _Seconds = 300
    """Seconds for one whole answer."""
    max_response_mb: int = Field(default=256, ge=1, le=65_536)
    """Megabytes that one answer may have when it is unpacked."""

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{name[:100]!a} cannot be the name of a header")
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"{name} cannot be given here; credentials go into auth")
            if not (text.isascii() and text.isprintable()):
                raise ValueError(f"the header {name} may have printable ASCII only")
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if isinstance(self.auth, QueryAuth) and self.auth.name in self.params:
            raise ValueError(f"params has {self.auth.name}, which auth sends already")
        return self
