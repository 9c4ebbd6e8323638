"""Markdown and HTML as a tree of plain data."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from celeriac.families.media.outside import typeset_document
from celeriac.families.media.outside.inspect_media import check
from celeriac.families.media.outside.typeset_document import Fault, read


def tree(text: str, *, markdown: bool = False) -> Any:
    return read(text.encode(), markdown=markdown)


def kinds(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["kind"] for node in nodes]


def test_markdown() -> None:
    found = tree("# One *two*\n\nText\n\n- a\n- b\n\n| x | y |\n|---|--:|\n| 1 | 2 |\n", markdown=True)
    assert found["title"] == "One two"
    assert kinds(found["body"]) == ["heading", "par", "list", "table"]
    table = found["body"][-1]
    assert (table["columns"], [cell["right"] for cell in table["rows"][1]]) == (2, [False, True])


def test_html_keeps_text_and_drops_what_runs_or_is_fetched() -> None:
    page = """<!doctype html><html lang="de"><head><title>Seite</title><style>p {}</style></head><body>
        <script>alert(1)</script><p onclick="x()">Ein <b>fetter</b> Text<img src="http://x/y.png" alt="Bild">
        <a href="javascript:alert(1)">weiter</a><a href="https://example.com">hin</a><iframe src="/x">z</iframe>"""
    found = tree(page)
    told = json.dumps(found)
    assert (found["title"], found["lang"]) == ("Seite", "de")
    assert "alert" not in told and "http://x" not in told and "p {}" not in told
    assert "[Bild]" in told and "https://example.com" in told and "weiter" in told


@pytest.mark.parametrize("text", ["", " ", "<html><script>x</script>", "<table></table>"])
def test_a_document_without_text_is_refused(text: str) -> None:
    with pytest.raises(Fault, match="it has no text"):
        tree(text)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(Fault, match="it is not UTF-8 text: byte 1 cannot be read"):
        read(b"a\xff\xfe", markdown=True)
    assert read("ä".encode("utf-16"), markdown=False)["body"]


def test_a_row_without_all_its_cells_is_filled() -> None:
    (table,) = tree("<table><tr><td>1<td>2<tr><td>3</table>")["body"]
    assert [len(row) for row in table["rows"]] == [2, 2]


@pytest.mark.parametrize(
    "page",
    [
        "x" + "<a " * 20_000,
        "x" + '<a href="' * 20_000,
        "<p>x" + "<svg>" * 20_000 + "</math>" * 20_000,
        "<pre>" + "x<x>" * 100_000,
    ],
    ids=["unclosed tags", "unclosed values", "skipped parts", "pieces of text"],
)
def test_a_hostile_page_is_read_in_a_time_that_grows_with_its_length(page: str) -> None:
    """30 KB of the first took 27 s."""
    began = time.process_time()
    assert tree(page)["body"]
    assert time.process_time() - began < 10


def test_reading_is_ended_when_it_takes_too_long(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>x</p>" * 60_000)  # takes 0.8 s
    request = {"path": str(tmp_path / "page.html"), "markdown": False, "reading_s": 0.02}
    command = [sys.executable, typeset_document.__file__]
    ran = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True)
    assert "reading it takes too long" in json.loads(ran.stdout)["fault"]


@pytest.mark.parametrize(("tables", "side"), [(1, 2_000), (30, 100)], ids=["one table", "tables together"])
@pytest.mark.slow
def test_tables_that_would_be_filled_with_more_cells_than_a_document_may_have_are_refused(
    tables: int, side: int
) -> None:
    with pytest.raises(Fault, match="more than 200,000 parts"):
        tree(("<table><tr>" + "<td>x" * side + "<tr><td>y" * side + "</table>") * tables)


def test_a_link_that_typst_would_refuse_becomes_text() -> None:
    """One of 20 KB had the whole document refused."""
    found = json.dumps(tree(f"[long](https://a/{'b' * 8000}) [short](https://a)", markdown=True))
    assert "long" in found and "bbb" not in found and "https://a" in found


def test_deep_quotes_keep_their_text() -> None:
    assert "deep" in json.dumps(tree("> " * 40 + "deep", markdown=True))


def test_text_of_many_pieces_is_whole() -> None:
    (part,) = tree("<pre>a<u>b</u>&lt;c\n</pre>")["body"]
    assert part == {"kind": "pre", "text": "ab<c"}


CAPS = {"streams": 2, "pixels": 1000, "frames": 100, "duration": 10}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"streams": []}, "no streams are found"),
        ({"streams": [{"type": "data"}]}, "neither video nor audio"),
        ({"streams": [{"type": "audio"}] * 3}, "3 streams; 2 are accepted"),
        ({"width": 100, "height": 100}, "100 x 100 pixels; 1,000 are accepted"),
        ({"frames": 101}, "more than the 100 pictures"),
        ({"fps": 60.0}, "more than the 100 pictures"),  # by its duration
        ({"duration": 11.0, "fps": 1.0}, "it lasts 11 s; 10 s are accepted"),
    ],
)
def test_caps(change: dict[str, Any], told: str) -> None:
    stream = {"type": "video", "width": 10, "height": 10, "frames": 0, "fps": 10.0}
    stream |= {name: value for name, value in change.items() if name in stream}
    found = {"streams": change.get("streams", [stream]), "duration": change.get("duration", 5.0)}
    assert (told in check(found, CAPS)) if told else check(found, CAPS) == ""
