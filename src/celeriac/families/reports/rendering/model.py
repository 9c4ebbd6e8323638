"""What a report is made of: columns and rows, the layout, and what rendering returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from celeriac.families.reports.rendering.described import Described

Format = Literal["pdf", "xlsx", "csv", "parquet", "html"]

ColumnKind = Literal[
    "text", "integer", "decimal", "money", "percent", "boolean", "date", "datetime", "time", "duration", "binary"
]
NUMBERS: frozenset[ColumnKind] = frozenset(("integer", "decimal", "money", "percent", "duration"))

#: Called with the rows that are done, and with how many there are (None: not known yet).
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a report.

    Attributes:
        name: its name in the data; unique in a report.
        title: what stands in the head of the table; empty: made from the name.
        kind: what its values are. A value may be None in any column, and a value of another type is shown as text.
            `percent` holds shares (0.124 is 12.4 %), `duration` holds timedeltas or seconds.
        currency: the ISO code of a `money` column, such as "EUR".
        unit: what stands behind a number, such as "kg".
        total: whether the table sums it up. None decides: numbers yes, but neither shares nor what looks like an id.
        decimals: places after the point. None decides from the kind and the values.
    """

    name: str
    title: str = ""
    kind: ColumnKind = "text"
    currency: str | None = None
    unit: str | None = None
    total: bool | None = None
    decimals: int | None = None


class Rows(Protocol):
    """The rows of a report: read once, in batches of any length."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns, in the order of the values in each row."""
        ...

    def batches(self) -> Iterator[list[tuple[object, ...]]]:
        """Yield the rows, some at a time."""
        ...


@runtime_checkable
class Counted(Protocol):
    """Rows of which it is known how many there are, before they are read."""

    @property
    def count(self) -> int:
        """How many rows there are."""
        ...


class Theme(Described):
    """How reports look: logo, colour and font.

    Attributes:
        logo: an SVG or PNG picture; in JSON as base64.
        colour: the accent colour, as "#rrggbb".
        font: the name of a font family; packaged is "Noto Sans". Packaged fonts fill in what it lacks.
        font_folder: a folder with the font's TTF or OTF files, if it is not a packaged one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    logo: bytes | None = None
    colour: str = Field(default="#1d4ed8", pattern=r"^#[0-9a-fA-F]{6}$")
    font: str = Field(default="Noto Sans", min_length=1, max_length=100)
    font_folder: Path | None = None


class CsvOptions(BaseModel):
    """How CSV is written.

    Attributes:
        delimiter: what stands between cells.
        decimal: the decimal sign. German and French Excel read `12,5` beside the delimiter ";" as a number.
        bom: whether the file begins with a mark by which Excel knows UTF-8.
        titles: whether the first line has the heads of the table. It has the names of the data otherwise.
        spreadsheet_safe: whether an apostrophe stands before texts that a spreadsheet would run as a formula: those
            that begin with = + - or @ and are no numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delimiter: str = Field(default=",", min_length=1, max_length=1, pattern=r'^[^"\r\n]$')
    decimal: Literal[".", ","] = "."
    bom: bool = False
    titles: bool = False
    spreadsheet_safe: bool = True

    @model_validator(mode="after")
    def _can_be_read(self) -> CsvOptions:
        if self.decimal == self.delimiter:
            raise ValueError(f"`decimal` and `delimiter` are both {self.decimal!r}; take the delimiter ';'")
        return self


class Layout(Described):
    """What a report says and how it looks. All of it is optional.

    Attributes:
        title: the title, in the head and in the properties of the file; made from the source's name by default.
        subtitle: a line below the title.
        author: who made the report, in the head and in the properties of the file.
        source: where the data is from, in one line; stands in the footer.
        created_at: when the report was made, which stands in its head; by default the time at which it is made.
        locale: a language, or a language and a country: "de", "fr-CA", "ja", "ar-EG".
        timezone: the zone in which points in time are shown.
        figures: columns for the key figures. by default they are chosen, an empty list leaves them out.
        columns: columns of the table, in this order; by default all.
        period: the date column by which key figures are compared. by default the first; "" compares nothing.
        better_down: columns of which less is better, so that a rise is shown in red.
        chart: "auto" chooses one from the data, "off" has none, an object is a Vega-Lite spec. The spec gets the rows
            as its data, up to 5,000 of them, with the names of columns as fields.
        totals: whether the table ends with a row of totals.
        archival: whether a PDF is PDF/A-2a and PDF/UA-1, for archives and for screen readers.
        password: encrypts a PDF (AES-256).
        csv: how CSV is written.
        theme: logo, colour and font.
        paper: the size of a page.
        orientation: of pages; "auto" turns them when a table is wide.
        template: the text of a Typst template of your own. It reads the report with `json(bytes(sys.inputs.report))`.
        designed_rows: a PDF with more rows is written by a faster engine, without a template.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    subtitle: str = ""
    author: str = ""
    source: str = ""
    created_at: datetime | None = None
    locale: str = "en"
    timezone: str = "UTC"
    paper: Literal["a3", "a4", "a5", "us-letter", "us-legal"] = "a4"
    orientation: Literal["auto", "portrait", "landscape"] = "auto"
    theme: Theme = Theme()
    figures: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    period: str | None = None
    better_down: Sequence[str] = ()
    chart: Literal["auto", "off"] | dict[str, Any] = "auto"
    totals: bool = True
    archival: bool = False
    password: str | None = Field(default=None, repr=False, min_length=1, max_length=127)
    csv: CsvOptions = CsvOptions()
    template: str | None = None
    designed_rows: int = Field(default=2_000, ge=0, le=10_000)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What has been rendered.

    Attributes:
        rows: how many there are.
        pages: of a PDF.
        size: in bytes.
        engine: what did it.
        warnings: what the file does not show as it should, each in one line.
    """

    rows: int
    pages: int | None
    size: int
    engine: Literal["typst", "reportlab", "xlsxwriter", "csv", "pyarrow", "html"]
    warnings: Sequence[str] = ()
