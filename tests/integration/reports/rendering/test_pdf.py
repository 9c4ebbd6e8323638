"""PDF reports: what is on their pages, what they promise to programs, and what they refuse."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pikepdf
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from celeriac.families.reports.rendering import (
    ChartFailed,
    Column,
    DocumentBroken,
    Format,
    Layout,
    LayoutInvalid,
    TemplateFailed,
    Theme,
    TooManyRows,
    preview,
)
from celeriac.families.reports.rendering.finishing import count_pages
from celeriac.families.reports.rendering.geometry import Page
from celeriac.families.reports.rendering.table_pages import TablePages
from celeriac.families.reports.rendering.typesetting import typeset
from tests.support.reports import Table, box_of, layout, page_texts, sales, write

LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9" fill="#123456"/></svg>'


def fast(**options: object) -> Layout:
    """A layout for the engine of huge tables, however few rows there are."""
    return layout(designed_rows=0, **options)


def test_a_report_from_rows_alone_has_figures_chart_table_totals_page_date_and_source(tmp_path: Path) -> None:
    made = write(sales(), layout(theme=Theme(logo=LOGO), chart="auto"), "pdf", tmp_path / "r.pdf")
    text = " ".join(page_texts(tmp_path / "r.pdf"))
    assert (made.rows, made.pages, made.engine) == (22, 2, "typst")
    for part in (
        "Sales",
        "Created Dec 1, 2026",
        "Revenue by month",
        "€33,000",
        "Total",
        "33,000.00",
        "Page 1 / 2",
        "shop",
    ):
        assert part in text
    assert re.search(r"5\.3%\s+Nov vs\. Oct", text)  # 4,000 after 3,800


def test_numbers_stand_at_the_right_and_texts_at_the_left(tmp_path: Path) -> None:
    table = Table([Column("name"), Column("n", kind="integer")], [("aa", 777), ("bbbb", 9_234_567)])
    for name, to in (("typst", layout()), ("reportlab", fast())):
        write(table, to, "pdf", tmp_path / f"{name}.pdf")
        small, large, a, b = (
            box_of(tmp_path / f"{name}.pdf", text, 0 if name == "typst" else 1)
            for text in ("777", "9,234,567", "aa", "bbbb")
        )
        assert abs(small[2] - large[2]) < 1, name
        assert abs(a[0] - b[0]) < 1, name


@pytest.mark.parametrize(
    ("locale", "parts"),
    [
        ("de", ("33.000,00", "12,5\xa0%", "Summe", "Seite 1 / 1", "Quelle: shop", "01.12.2026 03:10 MEZ")),
        ("fr", ("33\u202f000,00", "12,5\u202f%", "Source : shop", "1 déc. 2026 03:10")),
        ("ja", ("33,000.00", "合計", "ページ 1 / 1", "2026/12/01 3:10")),
        ("ar-EG", ("٣٣٬٠٠٠٫٠٠", "١٢٫٥")),  # noqa: RUF001
    ],
)
def test_numbers_dates_and_words_are_those_of_the_locale(locale: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    write(sales(), layout(locale=locale, timezone="Europe/Berlin"), "pdf", tmp_path / "r.pdf")
    text = " ".join(page_texts(tmp_path / "r.pdf")).replace("\xa0", " ").replace("\u202f", " ")
    for part in parts:
        wanted = part.replace("\xa0", " ").replace("\u202f", " ")
        assert wanted in text or wanted[::-1] in text  # pdfium gives Arabic digits in the order of the page


def test_a_table_from_right_to_left_begins_at_the_right(tmp_path: Path) -> None:
    table = Table([Column("aaa", "aaa"), Column("bbb", "bbb")], [("xx", "yy"), ("xx", "yy")])
    write(table, layout(locale="ar"), "pdf", tmp_path / "r.pdf")
    assert box_of(tmp_path / "r.pdf", "xx")[0] > box_of(tmp_path / "r.pdf", "yy")[2]


def test_the_faster_engine_has_a_designed_page_first_and_totals_on_the_last(tmp_path: Path) -> None:
    made = write(sales(11, tuple("ABCDEFGH")), fast(chart="auto"), "pdf", tmp_path / "r.pdf")
    texts = page_texts(tmp_path / "r.pdf")
    assert made.engine == "reportlab"
    assert made.pages == len(texts) == 4
    assert "Revenue by month" in texts[0]
    for number, text in enumerate(texts, 1):
        assert re.search(rf"Page\s+{number} /\s+4", text)
    assert all("Orders" in text and "Created Dec 1" in text for text in texts[1:])
    assert "132,000.00" in texts[-1]
    assert "Total" not in texts[1]


def test_both_engines_put_rows_and_margins_at_the_same_places(tmp_path: Path) -> None:
    plain = Table([Column("name"), Column("n", kind="integer")], [(f"row {i}", i * 1_000) for i in range(60)])
    shaped = Table(plain.columns, [("行 ☂", 0), *plain.rows[1:]])
    for name, table in (("plain", plain), ("shaped", shaped)):
        write(table, fast(), "pdf", tmp_path / f"{name}.pdf")
    for text in ("row 1", "9,000", "row 30", "Name", "Created", "shop", "Page"):
        one, other = (box_of(tmp_path / f"{name}.pdf", text, 1) for name in ("plain", "shaped"))
        if text == "Page":  # a number of pages with fewer digits than there is room for
            one, other = one[1::2], other[1::2]
        assert one == pytest.approx(other, abs=1.5), text
    assert "行" in page_texts(tmp_path / "shaped.pdf")[1]


@pytest.mark.parametrize("number", [0, 1, 41, 42, 43, 84])
def test_no_row_is_lost_between_pages(number: int, tmp_path: Path) -> None:
    table = Table([Column("name"), Column("n", kind="integer")], [(f"r{i};", 1) for i in range(number)], size=7)
    write(table, fast(chart="off", figures=[]), "pdf", tmp_path / "r.pdf")
    text = " ".join(page_texts(tmp_path / "r.pdf"))
    assert re.findall(r"r(\d+);", text) == [str(i) for i in range(number)]


def test_an_archival_report_keeps_what_pdf_a_and_pdf_ua_ask_for(tmp_path: Path) -> None:
    write(sales(), layout(archival=True, locale="de", theme=Theme(logo=LOGO), chart="auto"), "pdf", tmp_path / "r.pdf")
    with pikepdf.open(tmp_path / "r.pdf") as pdf:
        with pdf.open_metadata() as metadata:
            assert (metadata["pdfaid:part"], metadata["pdfaid:conformance"]) == ("2", "A")
            assert metadata["pdfuaid:part"] == "1"
            assert "Sales" in str(metadata["dc:title"])
        root = pdf.Root
        assert bool(root.MarkInfo.Marked)
        assert str(root.Lang).startswith("de")
        assert bool(root.ViewerPreferences.DisplayDocTitle)
        assert root.OutputIntents[0].S == "/GTS_PDFA1"
        roles = tags(root.StructTreeRoot)
        assert {"/H1", "/Table", "/TH", "/TD", "/Figure"} <= set(roles)
        fonts = [
            one for one in pdf.objects if isinstance(one, pikepdf.Dictionary) and one.get("/Type") == "/FontDescriptor"
        ]
        assert fonts
        assert all({"/FontFile", "/FontFile2", "/FontFile3"} & set(font.keys()) for font in fonts)
        assert "/Encrypt" not in pdf.trailer


def tags(node: pikepdf.Object) -> list[str]:
    found = [str(node["/S"])] if "/S" in node else []
    children = node.get("/K")
    for child in children if isinstance(children, pikepdf.Array) else [children] if children is not None else []:
        if isinstance(child, pikepdf.Dictionary):
            found += tags(child)
    return found


@pytest.mark.parametrize("rows", [2_000, 0])
def test_the_same_rows_and_layout_give_the_same_bytes(rows: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(sales(), layout(designed_rows=rows, chart="auto"), "pdf", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("rows", [2_000, 0])
def test_a_password_encrypts_with_aes_256(rows: int, tmp_path: Path) -> None:
    path = tmp_path / "r.pdf"
    assert write(sales(), layout(designed_rows=rows, password="пароль"), "pdf", path).pages
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(path)
    with pikepdf.open(path, password="пароль") as pdf:
        assert (pdf.encryption.R, pdf.encryption.bits) == (6, 256)
    assert "Sales" in page_texts(path, "пароль")[0]


def test_an_archival_report_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutInvalid, match="leave out `archival` or `password`"):
        write(sales(), layout(archival=True, password="x"), "pdf", tmp_path / "r.pdf")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('#import "@preview/cetz:0.3.1": canvas', "packages are not fetched"),
        ('#import "@local/a:0.3.1": canvas', "packages are not fetched"),
        ('#import "/etc/a.typ": b', "a template has no files"),
        ('#include "a.typ"', "a template has no files"),
        ('#let p = plugin("a.wasm")', "a template has no files"),
        ('#eval("read(\\"/etc/passwd\\")")', "a template has no files"),
        ('#read("/etc/passwd")', "a template has no files"),
        ('#read("../../../../etc/passwd")', "a template has no files"),
        ('#image("/etc/hostname")', "a template has no files"),
        ("#let x = 1 +\n#x", "expected expression"),
        ("#let f(x) = f(x)\n#f(1)", "maximum function call depth"),
    ],
)
def test_a_template_that_loads_something_or_is_wrong_is_refused(template: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateFailed, match=re.escape(message)) as refused:
        write(sales(), layout(template=template), "pdf", tmp_path / "r.pdf")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r.pdf").exists()


HIDDEN = '#dictionary(std).at("ev" + "al")("impo" + "rt \\"@" + "preview/a:1.0.0\\": b")'


def test_a_template_that_hides_a_package_from_the_check_opens_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, peer = listening.accept()
                seen.append(peer)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        with pytest.raises(TemplateFailed, match="packages are not fetched"):
            write(sales(), layout(template=HIDDEN), "pdf", tmp_path / "r.pdf")
        assert os.environ["HTTPS_PROXY"] == proxy  # others, such as a storage, still use it
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert seen == []


def test_a_templates_prose_may_have_the_words_of_typsts_code(tmp_path: Path) -> None:
    prose = (
        'Costs;include VAT. max\\@local.example wrote: {import duties rose} #import calc: abs\n eval(x) #eval("1 + 1")'
    )
    write(sales(), layout(template=prose), "pdf", tmp_path / "r.pdf")
    assert "import duties rose" in page_texts(tmp_path / "r.pdf")[0]


def test_a_process_leaves_no_folder(tmp_path: Path) -> None:
    program = (
        "from celeriac.families.reports.rendering import typesetting; typesetting._compiler(None).compile(input=b'a')"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_template_of_ones_own_gets_the_rows_as_data(tmp_path: Path) -> None:
    template = "#let d = json(bytes(sys.inputs.report))\n#d.rows.first().region #d.rows.len() #d.table.totals.at(2)"
    write(sales(), layout(template=template), "pdf", tmp_path / "r.pdf")
    assert "North 22 33,000.00" in page_texts(tmp_path / "r.pdf")[0]


def test_a_chart_by_a_spec_gets_the_rows_and_loads_nothing(tmp_path: Path) -> None:
    spec = {"mark": "bar", "encoding": {"x": {"field": "region"}, "y": {"field": "orders", "aggregate": "sum"}}}
    write(sales(), layout(chart=spec | {"title": "My own"}), "pdf", tmp_path / "r.pdf")
    assert "My own" in page_texts(tmp_path / "r.pdf")[0]
    lookup = {"lookup": "region", "from": {"data": {"url": "http://127.0.0.1:9/x.json"}, "key": "a", "fields": ["b"]}}
    for wrong in ({"mark": "nonsense"}, spec | {"transform": [lookup]}):
        with pytest.raises(ChartFailed, match="correct the Vega-Lite spec"):
            write(sales(), layout(chart=wrong), "pdf", tmp_path / "r.pdf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locale": "xx-YY"}, "locale 'xx-YY'"),
        ({"timezone": "Mars/Olympus"}, "time zone 'Mars/Olympus'"),
        ({"columns": ["nope"]}, "no column 'nope'"),
        ({"figures": ["nope"]}, "no column 'nope'"),
        ({"period": "nope"}, "no column 'nope'"),
        ({"theme": Theme(logo=b"GIF89a")}, "neither SVG nor PNG"),
    ],
)
def test_a_layout_that_does_not_fit_says_what_to_change(
    options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(LayoutInvalid, match=message):
        write(sales(), layout(**options), "pdf", tmp_path / "r.pdf")


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutInvalid, match="same name 'a'"):
        write(Table([Column("a"), Column("a")], []), layout(), "csv", tmp_path / "r.csv")


def test_too_many_rows_for_typst_are_refused_before_they_are_laid_out(tmp_path: Path) -> None:
    table = Table([Column("a")], [("x",)] * 10_001)
    with pytest.raises(TooManyRows, match="archival PDF holds at most 10000 rows"):
        write(table, layout(archival=True), "pdf", tmp_path / "r.pdf")


@pytest.mark.parametrize("rows", [2_000, 0])
def test_characters_that_no_font_has_are_named_on_the_first_page(rows: int, tmp_path: Path) -> None:
    table = Table([Column("name")], [("ไทย 한국",), ("日本語 हिन्दी مرحبا Ω Ж",), ("😀",)])
    made = write(table, layout(designed_rows=rows), "pdf", tmp_path / "r.pdf")
    assert "no font are missing: Thai, Hangul, U+1F600" in page_texts(tmp_path / "r.pdf")[0]
    assert ["no font has Thai, Hangul, U+1F600: " in warning for warning in made.warnings] == [True]
    assert not write(sales(), layout(designed_rows=rows), "pdf", tmp_path / "r.pdf").warnings
    assert "missing" not in page_texts(tmp_path / "r.pdf")[0]
    with pytest.raises(LayoutInvalid, match=r"no font has Thai, Hangul.*CELERIAC_REPORTS_FONT_FOLDER"):
        write(table, layout(archival=True), "pdf", tmp_path / "r.pdf")


@pytest.mark.parametrize("rows", [2_000, 0])
def test_the_font_of_the_theme_is_on_all_pages(rows: int, tmp_path: Path) -> None:
    theme = Theme(font="Noto Serif JP")
    write(sales(11, tuple("ABCDEF")), layout(designed_rows=rows, theme=theme), "pdf", tmp_path / "r.pdf")
    with pikepdf.open(tmp_path / "r.pdf") as pdf:
        for page in pdf.pages:
            names = [str(font.BaseFont) for _, font in page.Resources.Font.items()]
            assert any("NotoSerifJP" in name for name in names), names


def test_a_font_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutInvalid, match=r"no font 'Comic Mono', only Noto Sans.*CELERIAC_REPORTS_FONT_FOLDER"):
        write(sales(), layout(theme=Theme(font="Comic Mono")), "pdf", tmp_path / "r.pdf")


def test_the_faster_engine_compresses_pages_and_leaves_other_documents_of_reportlab_alone(tmp_path: Path) -> None:
    plain = io.BytesIO()
    pages = TablePages(
        *(plain, Page(595, 842, landscape=False, size=9, widths=[100.0])),
        **{"title": "T", "created": "", "source": "", "page_word": "Page", "accent": "#000000", "digits": 1},
    )
    pages.add(2, ["a"], [False], [["x"]] * 30, None)
    pages.close(2)
    with pikepdf.open(plain) as pdf:
        streams = [one for one in pdf.objects if isinstance(one, pikepdf.Stream)]
        assert len(streams) == 4  # the page, the number of pages, the font, and what its glyphs mean
        assert {tuple(map(str, stream.Filter.as_list())) for stream in streams} == {("/FlateDecode",)}
    other = io.BytesIO()
    canvas = Canvas(other, pageCompression=1)
    canvas.drawString(100, 100, "a")
    canvas.save()
    assert b"/ASCII85Decode /FlateDecode" in other.getvalue()


@pytest.mark.parametrize("kind", ["pdf", "html", "xlsx"])
def test_what_is_written_on_the_way_is_beside_the_file(
    kind: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typeset(b"", {}, Theme(), archival=False, tagged=False, moment=None)  # has the name of a folder that is not there
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    write(sales(), fast(), kind, tmp_path / "r")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


RENDER = """
import sys
from pathlib import Path
from tests.support.reports import layout, sales, write

for kind, rows in (("pdf", 2_000), ("pdf", 0), ("html", 0), ("xlsx", 0), ("csv", 0), ("parquet", 0)):
    table = sales(11, ("North", "South", "East"))
    write(table, layout(chart="auto", designed_rows=rows), kind, Path(sys.argv[1], f"{rows}.{kind}"))
"""


@pytest.mark.slow
def test_two_processes_at_other_times_in_other_zones_make_the_same_bytes(tmp_path: Path) -> None:
    made: list[dict[str, bytes]] = []
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/Los_Angeles")):
        (folder := tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", RENDER, str(folder)],
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LANG": "C" if seed == "1" else "de_DE.UTF-8"},
        )
        made.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert len(made[0]) == 6
    assert {name for name in made[0] if made[0][name] != made[1][name]} == set()


def test_a_preview_is_a_picture_of_the_page(tmp_path: Path) -> None:
    write(sales(), layout(), "pdf", tmp_path / "r.pdf")
    preview(tmp_path / "r.pdf", tmp_path / "p.png", width=400)
    with Image.open(tmp_path / "p.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 400)
    with pytest.raises(LayoutInvalid, match="no page 2"):
        preview(tmp_path / "r.pdf", tmp_path / "p.png", page=2)


def test_a_pdf_that_cannot_be_read_again_is_noticed(tmp_path: Path) -> None:
    write(sales(), layout(), "pdf", tmp_path / "r.pdf")
    (tmp_path / "r.pdf").write_bytes((tmp_path / "r.pdf").read_bytes()[100:900])
    with pytest.raises(DocumentBroken):
        count_pages(tmp_path / "r.pdf")
