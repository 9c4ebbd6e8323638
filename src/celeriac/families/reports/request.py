"""What a caller asks for: a source of rows, and what to make of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    field_serializer,
    field_validator,
    model_validator,
)

from celeriac.families.reports.rendering import Format, Layout
from celeriac.families.reports.sources.named import TYPES

_MAX_SQL = 100_000
_EXACT = ConfigDict(extra="forbid", allow_inf_nan=False)

Scalar = str | int | float | bool | None
Name = Annotated[str, Field(min_length=1, max_length=100)]
Parameters = Annotated[dict[str, Any], Field(max_length=100)]


class NamedRef(BaseModel):
    """A query or function of the application, by its name."""

    model_config = _EXACT

    name: Name = Field(description="`GET /reports/sources` lists them")
    parameters: Parameters = Field(default_factory=dict[str, Any])


class SqlRef(BaseModel):
    """A query of the caller's own, if the settings allow that."""

    model_config = _EXACT

    sql: str = Field(min_length=1, max_length=_MAX_SQL, description="One SELECT; `:name` stands for a parameter")
    connection: Name
    parameters: Parameters = Field(default_factory=dict[str, Any])
    types: dict[str, Literal["text", "integer", "decimal", "float", "boolean", "date", "datetime", "time"]] = Field(
        default_factory=dict[str, Any], description="Types of parameters that JSON lacks, such as dates"
    )

    def typed(self) -> dict[str, Any]:
        """Return the parameters with their types. Raises `ReportInvalid`."""
        from celeriac.families.reports.sources.named import query_source

        kinds: dict[str, Any] = {key: TYPES[self.types[key]] if key in self.types else Any for key in self.parameters}
        return query_source("sql", self.sql, connection=self.connection, types=kinds).checked(self.parameters)


class UploadRef(BaseModel):
    """A file that the caller has sent to `/uploads`: CSV, XLSX or Parquet."""

    model_config = _EXACT

    upload: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="The upload's id")
    sheet: Name | None = Field(default=None, description="A sheet of an XLSX file; the first one by default")


class RowsRef(BaseModel):
    """Rows in the request itself: objects; or arrays, with the names of the columns beside them."""

    model_config = _EXACT

    rows: list[dict[str, Scalar]] | list[list[Scalar]] = Field(description="Objects; or arrays, beside `columns`")
    columns: list[Name] | None = Field(default=None, description="The names of the columns of rows that are arrays")

    @field_validator("rows", mode="before")
    @classmethod
    def _alike(cls, rows: Any) -> Any:
        """Name the first fault. Else each fault would be told twice, once for either kind of row."""
        if not isinstance(rows, list):
            raise ValueError("give an array of rows")
        given = cast(list[object], rows)
        first = type(given[0]) if given else dict
        for number, row in enumerate(given, 1):
            if not isinstance(row, dict | list | tuple):
                raise ValueError(f"row {number:,} is {_json_name(row)}; each row is an object, or each an array")
            if type(cast(object, row)) is not first:
                raise ValueError(
                    f"row {number:,} is {_json_name(cast(object, row))}, and the first is not; all must be alike"
                )
            cells = cast(dict[object, object], row).values() if isinstance(row, dict) else cast(list[object], row)
            for cell in cells:
                if isinstance(cell, dict | list):
                    told = _json_name(cast(object, cell))
                    raise ValueError(f"row {number:,} has {told} as a cell; give a text, a number, a boolean or null")
        return given

    @model_validator(mode="after")
    def _named(self) -> RowsRef:
        if self.columns is None and not self.rows:
            raise ValueError("without a row, name the columns in `columns`, which makes an empty table")
        if self.columns is None and not isinstance(self.rows[0], dict):
            raise ValueError("rows that are arrays need `columns`, the names of the columns")
        if self.columns is not None and self.rows and isinstance(self.rows[0], dict):
            raise ValueError("rows that are objects have their names already; leave `columns` out")
        for number, row in enumerate(self.rows, 1):
            if self.columns is not None and len(row) != len(self.columns):
                raise ValueError(f"row {number:,} has {len(row)} cells; `columns` has {len(self.columns)} names")
        return self


def _kind_of(value: Any) -> str | None:
    """Tell the sources apart by the member that only one has, so that a fault names one of them."""
    for name in ("name", "sql", "upload", "rows"):
        if name in cast(Mapping[str, Any], value) if isinstance(value, Mapping) else hasattr(value, name):
            return name
    return None


def _json_name(value: object) -> str:
    names: dict[type, str] = {dict: "an object", str: "a text", bool: "a boolean", type(None): "null"}
    return "an array" if isinstance(value, list | tuple) else names.get(type(value), "a number")


SourceRef = Annotated[
    Annotated[NamedRef, Tag("name")]
    | Annotated[SqlRef, Tag("sql")]
    | Annotated[UploadRef, Tag("upload")]
    | Annotated[RowsRef, Tag("rows")],
    Discriminator(
        _kind_of,
        custom_error_type="source_of_no_kind",
        custom_error_message="give one of: name; sql; upload; rows",
    ),
]


class ColumnChoice(BaseModel):
    """What a caller wants of a column, in place of what was found."""

    model_config = _EXACT

    title: str = Field(default="", max_length=200, description="The head; made from the name by default")
    kind: (
        Literal["text", "integer", "decimal", "money", "percent", "boolean", "date", "datetime", "time", "duration"]
        | None
    ) = Field(default=None, description="`percent` holds shares: 0.124 is 12.4 %")
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", description="ISO 4217; makes it `money`")
    unit: str | None = Field(default=None, max_length=20, description="Stands behind each number")
    total: bool | None = Field(default=None, description="Whether the table sums it up; found out by default")
    decimals: int | None = Field(default=None, ge=0, le=12, description="Places after the point")


class NamedPassword(BaseModel):
    """A password of the settings, which the caller does not see."""

    model_config = _EXACT

    name: Name = Field(description="A name of CELERIAC_REPORTS_PASSWORDS")


class SealedPassword(BaseModel):
    """A caller's password as it stands in a job's arguments: only those who can read the storage's key can open it."""

    model_config = _EXACT

    sealed: str = Field(max_length=2_000)


def _without_nul(password: SecretStr) -> SecretStr:
    if "\0" in password.get_secret_value():
        raise ValueError("a password may have no NUL character")
    return password


OwnPassword = Annotated[SecretStr, Field(min_length=1, max_length=127), AfterValidator(_without_nul)]


def _kind_of_password(value: Any) -> str:
    for name in ("name", "sealed"):
        if name in cast(Mapping[str, Any], value) if isinstance(value, Mapping) else hasattr(value, name):
            return name
    return "text"


Password = Annotated[
    Annotated[OwnPassword, Tag("text")]
    | Annotated[NamedPassword, Tag("name")]
    | Annotated[SealedPassword, Tag("sealed")],
    Discriminator(_kind_of_password),
]


class Follower(BaseModel):
    """A job to enqueue when the report is made. It gets the report's result as the argument `report`."""

    model_config = _EXACT

    task: Name = Field(description="A job that callers may submit")
    arguments: Parameters = Field(default_factory=dict[str, Any])


class ReportRequest(BaseModel):
    """A report that is to be made."""

    model_config = _EXACT

    source: SourceRef = Field(description="Where the rows are from: one of `name`, `sql`, `upload` and `rows`")
    formats: list[Format] = Field(
        default_factory=lambda: ["pdf"],
        min_length=1,
        max_length=5,
        json_schema_extra={"uniqueItems": True},
        description="A file is made of each",
    )
    columns: dict[str, ColumnChoice] = Field(
        default_factory=dict[str, ColumnChoice],
        max_length=256,
        description="Heads, kinds and currencies of columns, by their names in the data",
    )
    layout: Layout = Field(default_factory=Layout, description="What the report says, and how it looks")
    file_name: str = Field(default="report", min_length=1, max_length=100, description="Without its extension")
    password: Password | None = Field(
        default=None, description="Encrypts the PDF (AES-256): a password, or the name of one of the settings"
    )
    preview: bool = Field(default=False, description="Whether to make a picture of the first page as well")
    force: bool = Field(
        default=False, description="Make each file anew, also if an earlier report made the same of the same data"
    )
    then: Follower | None = Field(default=None, description="A job to enqueue when the report is made")

    @model_validator(mode="after")
    def _once(self) -> ReportRequest:
        if len(set(self.formats)) < len(self.formats):
            raise ValueError("name each format once")
        if self.preview and "pdf" not in self.formats:
            raise ValueError("a preview is a page of the PDF; name `pdf` among the formats")
        if self.layout.password is not None:
            raise ValueError("name the password beside the layout, as `password` of the request")
        if self.layout.theme.font_folder is not None:
            raise ValueError("fonts are a setting, CELERIAC_REPORTS_FONT_FOLDER")
        return self

    @field_serializer("layout", when_used="json")
    def _as_given(self, layout: Layout) -> Any:
        """Leave out what the caller did not say: the settings have their say there, when the report is made."""
        return layout.model_dump(mode="json", exclude_unset=True)

    @field_serializer("password", when_used="json")
    def _never_plain(self, password: SecretStr | NamedPassword | SealedPassword | None) -> Any:
        """What becomes JSON is sent to Redis, and shown to whoever looks at the job."""
        if isinstance(password, SecretStr):
            raise ValueError(
                "a job's arguments may hold no password: `await reports.sealed(request)` makes one of them"
            )
        return password.model_dump() if password is not None else None
