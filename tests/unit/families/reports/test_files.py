"""Uploaded tables: found out what they are, read as they are meant, and refused if they are hostile."""

import codecs
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from celeriac.families.reports.errors import DataInvalid, DataTooLarge
from celeriac.families.reports.sources.csv_file import delimiter_of
from celeriac.families.reports.sources.upload import read_upload
from celeriac.families.reports.spool import Spool, SpoolLimits, SpoolWriter
from celeriac.storage.sniffing import HEAD_BYTES, sniff
from tests.support.tables import bomb, changed, workbook

CELL = 32_767


async def read(
    path: Path, *, sheet: str | None = None, unpacked: int = 50_000_000, cell: int = CELL, megabytes: int = 100
) -> Spool:
    """What the family makes of the file, whose type is found as the storage finds it."""
    found = sniff(path.read_bytes()[:HEAD_BYTES], path.name)
    async with read_upload(path.name, found, path, sheet=sheet, unpacked_bytes=unpacked, longest_cell=cell) as data:
        spool = path.with_name("spool")
        spool.unlink(missing_ok=True)
        limits = SpoolLimits(rows=100_000, cell=cell, megabytes=megabytes)
        writing = SpoolWriter(spool, data.columns, limits, texts=data.texts, decimal_comma=data.decimal_comma)
        with writing as writer:
            async for batch in data.batches:
                writer.write(batch)
            return writer.finish()


GERMAN = "Käufer;Tag;Betrag;PLZ\r\nMüller;31.01.2026;1.234,50;01067\r\n\r\nGroß;1.2.2026;2,00;80331\r\n"
GERMAN_ROWS = [
    ("Müller", date(2026, 1, 31), Decimal("1234.50"), "01067"),
    ("Groß", date(2026, 2, 1), Decimal("2.00"), "80331"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
async def test_a_german_csv_of_any_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(GERMAN.encode(encoding))
    spool = await read(path)
    assert spool.columns == ("Käufer", "Tag", "Betrag", "PLZ")
    assert list(spool.rows()) == GERMAN_ROWS


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "名前,数\n株式会社山田商店,1\n東京支店の注文,2\n"),
        ("cp1251", "имя,число\nЗаказ номер один,1\nЗаказ номер два из Москвы,2\n"),  # noqa: RUF001
    ],
)
async def test_a_csv_of_another_script_is_read(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(text.encode(encoding))
    spool = await read(path)
    assert [*spool.columns, *[cell for row in spool.rows() for cell in row if isinstance(cell, str)]] == [
        *text.splitlines()[0].split(","),
        *[line.split(",")[0] for line in text.splitlines()[1:]],
    ]
    assert spool.kinds == ("text", "integer")


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb, c\n1\t2, 3\n", "\t"),
        ('a|b\n"1,2,3|4"|5\n', "|"),
        ("only one column\nno delimiter\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_makes_a_table(head: str, delimiter: str) -> None:
    assert delimiter_of(head) == delimiter


async def test_quoted_cells_with_lines_and_short_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text('a,b,c\n"one\ntwo","say ""hi""",3\nx\n1,2,3,,\n', newline="")
    assert list((await read(path)).rows()) == [("one\ntwo", 'say "hi"', 3), ("x", None, None), ("1", "2", 3)]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b"a,b\n1,2,3,4\n", "row 1 has 4 values; there are 2 columns"),
        (b'a,b\n"' + b"x" * 300_000 + b"\n", "field larger than field limit"),
        (b"a,b\n" + b"x" * 5_000_000, "a line of more than 4,194,304 characters"),
        (b"a,b\n1,2\n" * 1000 + b"\0\0\1", "is not text: it has NUL bytes"),
        (b"%PDF-1.7\n", "is application/pdf; send CSV, XLSX or Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "send CSV, XLSX or Parquet"),
        (b"\x89PNG\r\n\x1a\n", "is image/png"),
        (b"PK\x03\x04 and nothing more", "cannot be read as XLSX"),
        (b"PAR1 and nothing more PAR1", "cannot be read as Parquet"),
        (codecs.BOM_UTF16_LE + b"a\0,", "is not utf-16"),
    ],
)
async def test_a_file_that_is_no_table_is_refused_with_the_reason(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    with pytest.raises((DataInvalid, DataTooLarge), match=fault):
        await read(path)


async def test_a_huge_cell_is_refused_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(b"a,b\n1,2\n" + b"x" * 101 + b",3\n")
    with pytest.raises(DataTooLarge, match="row 2, column a: more than 100 characters"):
        await read(path, cell=100)


async def test_a_workbook_is_read_with_its_types(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["name", "day", "total", "count"],
        ["Müller", date(2026, 1, 31), 12.5, 3],
        ["Ö", None, 2, 4],
    ]
    path = workbook(tmp_path / "orders.csv", rows)  # the name does not matter
    spool = await read(path)
    assert spool.columns == ("name", "day", "total", "count")
    assert spool.kinds == ("text", "date", "decimal", "integer")
    assert list(spool.rows()) == [("Müller", date(2026, 1, 31), 12.5, 3), ("Ö", None, 2, 4)]
    assert (await read(path, sheet="Notes")).columns == ("nothing", "here")
    with pytest.raises(DataInvalid, match="has no sheet 'Other'; it has Orders, Notes"):
        await read(path, sheet="Other")


async def test_a_column_of_times_with_one_at_midnight_is_one_of_times(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["when"], [datetime(2026, 1, 31, 9, 30)], [datetime(2026, 2, 1)]]
    spool = await read(workbook(tmp_path / "a.xlsx", rows))
    assert spool.kinds == ("datetime",)
    assert list(spool.rows()) == [(datetime(2026, 1, 31, 9, 30),), (datetime(2026, 2, 1),)]


@pytest.mark.parametrize("claims", [None, 1000])
async def test_a_zip_bomb_is_refused_whatever_its_directory_claims(tmp_path: Path, claims: int | None) -> None:
    path = bomb(tmp_path / "orders.xlsx", 20, claims=claims)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataTooLarge, match="more than 10 MB when it is unpacked; CELERIAC_REPORTS_UNPACKED_MB"):
        await read(path, unpacked=10_000_000)


@pytest.mark.parametrize(
    "place",
    [
        'r="XFD1048576"',
        "r='XFD1048576'",
        'r="B1048576"',
        'r="XFD9000"',
        'r ="XFD1048576"',
        "r\n=\t'XFD1048576'",
        f'r{" " * 2_000}={" " * 2_000}"XFD1048576"',
        'r="xfd1048576"',
        'r="XFD000000000001048576"',
    ],
    ids=range(9),
)
@pytest.mark.parametrize("packed", [True, False])
async def test_a_small_workbook_whose_last_cell_is_far_away_is_refused(
    tmp_path: Path, place: str, packed: bool
) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a", "b"], [1, 2], [3, 4]])
    far = changed(path, "xl/worksheets/sheet1.xml", b'r="B3"', place.encode(), packed=packed)
    assert far.stat().st_size < 20_000
    with pytest.raises(DataTooLarge, match="when it is unpacked"):
        await read(far)


async def test_texts_that_are_repeated_by_reference_are_bounded_on_the_disk(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", "SELECT repeat('x', 30000) AS x FROM range(2000)")
    assert path.stat().st_size < 100_000
    with pytest.raises(DataTooLarge, match="more than 1 MB; CELERIAC_REPORTS_MAX_DATA_MB"):
        await read(path, megabytes=1)


def parquet(path: Path, query: str) -> Path:
    with closing(duckdb.connect()) as connection:
        connection.execute(f"COPY ({query}) TO $path (FORMAT parquet)", {"path": str(path)})
    return path


async def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    query = "SELECT range AS id, DATE '2026-01-31' AS day, 1.25::DECIMAL(9, 2) AS total, 'Ü' AS name FROM range(2500)"
    spool = await read(parquet(tmp_path / "it's.parquet", query))
    assert spool.kinds == ("integer", "date", "decimal", "text")
    rows = list(spool.rows())
    assert len(rows) == 2500
    assert rows[2499] == (2499, date(2026, 1, 31), Decimal("1.25"), "Ü")


async def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", "SELECT repeat('x', 1000) || range AS x FROM range(20000)")
    with pytest.raises(DataTooLarge, match="when it is unpacked; CELERIAC_REPORTS_UNPACKED_MB"):
        await read(path, unpacked=1_000_000)


async def test_broken_parquet_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", "SELECT range AS id FROM range(100000)")
    content = bytearray(path.read_bytes())
    content[100:3000] = bytes(2900)
    path.write_bytes(content)
    with pytest.raises(DataInvalid, match="cannot be read as Parquet"):
        await read(path)


async def test_rows_that_lack_cells_are_counted(tmp_path: Path) -> None:
    (path := tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n4\n5,6\n")
    async with read_upload(path.name, "text/csv", path, sheet=None, unpacked_bytes=1000, longest_cell=CELL) as data:
        rows = [row async for batch in data.batches for row in batch]
    assert rows == [["1", "2"], ["3", ""], ["4", ""], ["5", "6"]]
    assert data.details["short_rows"] == "2"
