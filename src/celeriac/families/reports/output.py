"""Hands rows and layout to the rendering, which knows nothing of sources, jobs or storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from celeriac.families.reports.layouts import check_kinds, check_named, with_settings
from celeriac.families.reports.rendering import Column, ColumnKind, Format, Rendered, fonts, preview, render
from celeriac.families.reports.request import ColumnChoice, ReportRequest
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.spool import Spool

#: Takes how many rows were written, and of how many if that is known.
Progress = Callable[[int, int | None], None]
_TITLE_AT_MOST = 100


@dataclass(frozen=True, slots=True)
class SpooledRows:
    """The rows of a file, as the rendering reads them."""

    spool: Spool
    columns: Sequence[Column]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.spool.count

    def batches(self) -> Iterator[list[tuple[object, ...]]]:
        """Yield the rows, some at a time."""
        return self.spool.batches([column.kind for column in self.columns])


class Output:
    """What a report's files are made of.

    Attributes:
        identity: all of the request and the settings that the files' bytes follow from, beside the data. The time is
            not in it unless the caller gave it: a file that is found again keeps the time when it was made.
    """

    def __init__(
        self,
        request: ReportRequest,
        own: ReportsSettings,
        spool: Spool,
        source: str,
        password: str | None,
        *,
        about: str = "",
    ) -> None:
        """`source` says where the rows are from, in one line, for layouts that do not. `password` is the PDF's.

        A layout without a title gets one of `about`, what the source says of itself; else of its name.

        Raises:
            ReportInvalid: the request names a column that the data does not have, or has in another kind.
        """
        check_named(request, spool.columns)
        layout = with_settings(request.layout, own)
        if not layout.title and (title := _title(about) or _titled(source)):
            layout = layout.model_copy(update={"title": title})
        if not layout.source:
            layout = layout.model_copy(update={"source": source})
        self._rows = SpooledRows(spool, _columns(request, spool))
        check_kinds(layout, {column.name: column.kind for column in self._rows.columns if column.name in spool.filled})
        fonts_seen = fonts.fingerprint(layout.theme.font_folder)  # a font that is added shows what was missing
        self.identity = f"{layout.model_dump_json()}{self._rows.columns!r}{fonts_seen}".encode()
        layout = layout.model_copy(update={"password": password})  # after the identity, whose digest is kept
        if layout.created_at is None:
            layout = layout.model_copy(update={"created_at": datetime.now(UTC).replace(microsecond=0)})
        self._layout = layout

    def write(self, form: Format, path: Path, progress: Progress) -> Rendered:
        """Write the file of one format."""
        return render(self._rows, self._layout, form, path, progress=progress)

    def preview(self, pdf: Path, target: Path) -> None:
        """Draw the first page."""
        preview(pdf, target, password=self._layout.password)


def _title(about: str) -> str:
    """Make a title of what a source says of itself, if that is short enough."""
    words = " ".join(about.split()).removesuffix(".")
    return words if len(words) <= _TITLE_AT_MOST else ""


def _titled(source: str) -> str:
    """Make a title of the name of a query, a function or a file: `late_orders.csv` is "Late orders"."""
    if not source:
        return ""
    words = " ".join(Path(source).stem.replace("_", " ").split()) or source
    return words[:1].upper() + words[1:]


def _columns(request: ReportRequest, spool: Spool) -> list[Column]:
    return [
        _column(name, cast(ColumnKind, kind), request.columns.get(name) or ColumnChoice(), is_flag=is_flag)
        for name, kind, is_flag in zip(spool.columns, spool.kinds, spool.flags, strict=True)
    ]


def _column(name: str, found: ColumnKind, choice: ColumnChoice, *, is_flag: bool) -> Column:
    return Column(
        name=name,
        title=choice.title,
        kind=choice.kind or ("money" if choice.currency is not None else found),
        currency=choice.currency,
        unit=choice.unit,
        total=False if is_flag and choice.total is None else choice.total,
        decimals=choice.decimals,
    )
