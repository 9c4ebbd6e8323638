"""Tables that fit a terminal."""

from __future__ import annotations

import pytest

from celeriac.core.findings import Finding, Status, ok
from celeriac.core.text_table import Column, fitted
from celeriac.terminal import finding_lines, print_rows, print_table, progress_line

JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
COLUMNS = [
    Column(name="id"),
    Column(name="task", shortest=12, keeps_end=True),
    Column(name="state"),
    Column(name="queue", dispensable=1),
    Column(name="done", right=True),
    Column(name="age", right=True),
]

NOBODY = {"name": "b", "first_key": None}


def test_a_row_of_jobs_fits_80_columns_and_keeps_its_id_whole() -> None:
    lines = fitted(COLUMNS, [[JOB, "shop.accounting.invoices.write_invoice", "succeeded", "mail", "100%", "12m"]], 80)
    assert max(map(len, lines)) <= 80
    assert JOB in lines[1]
    assert "write_invoice" in lines[1]
    assert "mail" not in lines[1]


def test_a_wide_terminal_shows_all() -> None:
    row = [JOB, "shop.accounting.invoices.write_invoice", "succeeded", "mail", "100%", "12m"]
    assert fitted(COLUMNS, [row], 200)[1].split() == row


def test_columns_without_content_are_left_out() -> None:
    assert "done" not in fitted(COLUMNS, [[JOB, "task", "queued", "mail", "", "1s"]], 200)[0]


def test_a_pipe_gets_whole_fields_between_tabs_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [[JOB, "long" * 50, "a\tb\x1b[2J\n", "mail", "", "1s"]])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split("\t") == [column.name for column in COLUMNS]
    assert row.split("\t") == [JOB, "long" * 50, "a\\tb\\x1b[2J\\n", "mail", "", "1s"]


def test_findings_are_wrapped_in_a_terminal_and_what_is_to_be_copied_is_not() -> None:
    finding = Finding("dkim", Status.FAIL, "not there " * 10, "publish " * 10, "name TXT " + "x" * 300)
    first, *more = finding_lines([finding], 60)
    assert first.startswith("\x1b[31mfail \x1b[0m dkim         not there")
    assert max(map(len, more[:-1])) <= 60
    assert more[-1] == " " * 19 + finding.snippet
    assert [len(finding_lines([finding], width)) for width in (None, 20)] == [3, 3]
    assert finding_lines([ok("spf\x07", "a\x1b[2J\nb")], None)[0].endswith("spf\\x07      a\\x1b[2J\\nb")


def test_rows_in_a_pipe_have_numbers_as_scripts_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "first_key": None, "rows": 12345, "here": True}, {**NOBODY, "rows": 1, "here": False}]
    print_rows(rows, ["name", "first_key", "rows", "here"])
    assert capsys.readouterr().out == "name\tfirst key\trows\there\na\t\t12345\tyes\nb\t\t1\t\n"


def test_rows_in_a_terminal_have_numbers_as_people_read_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_rows([{**NOBODY, "rows": 12345}, {**NOBODY, "rows": 1}], ["name", "rows"])
    assert capsys.readouterr().out == "name    rows\nb     12,345\nb          1\n"


def test_no_rows_are_said_to_be_none_and_json_is_printed_in_place_of_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_rows([], ["name"], nothing="no policies")
    print_rows([], ["name"], nothing="no policies", as_json=[])
    assert capsys.readouterr().out == "no policies\n[]\n"


def test_progress_without_a_total_has_no_bar() -> None:
    assert progress_line(1500, None, "orders: 3 pages", "records") == "1,500 records  orders: 3 pages"
    assert progress_line(1, 4, "a\x1b[2J", "rows") == f"{'█' * 8}{'·' * 22}  25%  a\\x1b[2J"
