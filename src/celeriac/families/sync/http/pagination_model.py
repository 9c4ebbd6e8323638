"""How an API is asked for the next page."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from celeriac.core.exact import Exact
from celeriac.families.sync.http.paths import PathText

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class LinkPagination(Exact):
    """The `Link` header has the next page's URL (RFC 8288). Without one, the page is the last, or the only one."""

    type: Literal["link"] = "link"
    rel: _Name = "next"
    """The relation that it gives to that URL."""


class NextUrlPagination(Exact):
    """The body has the next page's URL. It ends where there is none."""

    type: Literal["next_url"]
    path: PathText
    """Where it is in the body."""


class CursorPagination(Exact):
    """The body or a header has a token for the next page. It ends where there is none."""

    type: Literal["cursor"]
    from_body: PathText | None = None
    """Path of the token in the body."""
    from_header: _Name | None = None
    """Or the header that has it."""
    to_param: _Name | None = None
    """The parameter of the query that takes it."""
    to_header: _Name | None = None
    """Or the header that takes it."""
    more: PathText | None = None
    """Path of a value that is false on the last page, for APIs whose last page has a token, too."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.from_body is None) == (self.from_header is None):
            raise ValueError("say where the token is: give either from_body or from_header")
        if (self.to_param is None) == (self.to_header is None):
            raise ValueError("say where to send the token: give either to_param or to_header")
        return self


class _Sized(Exact):
    size: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many records a page shall have."""
    size_param: _Name | None = None
    """The parameter that says so."""
    more: PathText | None = None
    """Path of a value that is false on the last page. Without it, the first empty page is the last."""
    short_page_ends: bool = False
    """Whether a page with fewer than `size` records is the last. Wrong where an API filters after it has counted."""

    @model_validator(mode="after")
    def _has_its_size(self) -> Self:
        if self.size is None and (self.size_param is not None or self.short_page_ends):
            raise ValueError("give the size that size_param and short_page_ends need")
        return self


class PageNumberPagination(_Sized):
    """Pages are numbered."""

    type: Literal["page"]
    param: _Name = "page"
    """The parameter of the query that takes the number."""
    first: int = Field(default=1, ge=0)
    """The number of the first page."""


class OffsetPagination(_Sized):
    """A page begins after as many records as have come before. Pages may have different sizes."""

    type: Literal["offset"]
    param: _Name = "offset"
    """The parameter of the query that takes the number of records to skip."""


class KeysetPagination(_Sized):
    """A page begins after the last record's values. The API has to sort by them, ascending."""

    type: Literal["keyset"]
    fields: Annotated[list[PathText], Field(min_length=1, max_length=8)]
    """Fields of a record by which the API sorts."""
    params: Annotated[list[_Name], Field(min_length=1, max_length=8)]
    """The parameters that take their last values."""
    inclusive: bool = False
    """Whether the API gives records with the same values again (`>=`). Needed where the values are not unique."""
    offset_param: _Name | None = None
    """A parameter that skips records among those with the same values, for ties that are wider than a page."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.fields) != len(self.params):
            raise ValueError("give one of params for each of fields")
        if self.inclusive and self.size is None:
            raise ValueError("inclusive needs the size of a page: only a full page can be a tie that goes on")
        if self.offset_param is not None and not self.inclusive:
            raise ValueError("offset_param needs inclusive: true")
        return self


Pagination = Annotated[
    LinkPagination | NextUrlPagination | CursorPagination | PageNumberPagination | OffsetPagination | KeysetPagination,
    Field(discriminator="type"),
]
