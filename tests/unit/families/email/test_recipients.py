"""Recipients from CSV and JSON: what is read, and how faults are named."""

import io
import os
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from celeriac.families.email.addresses import Duplicates, FirstRows
from celeriac.families.email.errors import RecipientsInvalid
from celeriac.families.email.model import Recipient
from celeriac.families.email.recipients import CsvRecipients, JsonRecipients, Limits


def read_csv(content: str | bytes, **limits: int) -> list[Recipient]:
    octets = content.encode() if isinstance(content, str) else content
    return list(CsvRecipients(io.BytesIO(octets), Limits(**limits)).read(()))


def read_json(items: Sequence[object], required: Sequence[str] = (), **limits: int) -> list[Recipient]:
    return list(JsonRecipients(items, Limits(**limits)).read(required))


def csv_faults(content: str | bytes, **limits: int) -> list[tuple[Any, Any, str]]:
    with pytest.raises(RecipientsInvalid) as caught:
        read_csv(content, **limits)
    return [(fault["row"], fault["column"], fault["message"]) for fault in caught.value.faults]


def json_faults(items: Sequence[object], required: Sequence[str] = (), **limits: int) -> list[tuple[Any, Any, str]]:
    with pytest.raises(RecipientsInvalid) as caught:
        read_json(items, required, **limits)
    return [(fault["row"], fault["column"], fault["message"]) for fault in caught.value.faults]


EXPECTED = [
    Recipient(2, "ann@example.com", {"name": "Ann", "city": "Köln"}),
    Recipient(3, "bob@example.com", {"name": "Bob", "city": ""}),
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_the_usual_kinds_of_csv_are_read(delimiter: str, line_end: str, bom: str) -> None:
    rows = [["email", "name", "city"], ["ann@example.com", "Ann", "Köln"], ["bob@example.com", "Bob", ""]]
    content = bom + "".join(delimiter.join(row) + line_end for row in rows)
    assert read_csv(content) == EXPECTED
    assert read_csv(content.rstrip("\r\n")) == [
        EXPECTED[0],
        Recipient(3, "bob@example.com", {"name": "Bob", "city": ""}),
    ]


def test_quotes_hold_delimiters_quotes_and_line_breaks() -> None:
    content = 'email,text\n"ann@example.com","a, ""b""\nc"\nbob@example.com,x\n'
    assert read_csv(content) == [
        Recipient(2, "ann@example.com", {"text": 'a, "b"\nc'}),
        Recipient(3, "bob@example.com", {"text": "x"}),  # row 3 in a spreadsheet, line 4 of the file
    ]


def test_the_email_column_is_found_in_any_case_and_place_and_trimmed() -> None:
    assert read_csv("name, E-Mail ,EMAIL\nx,y, Ann@Example.COM \n") == [
        Recipient(2, "Ann@example.com", {"name": "x", "E_Mail": "y"})
    ]


def test_column_names_become_variables() -> None:
    source = CsvRecipients(io.BytesIO("email,First name,Größe,2nd\n".encode()))
    assert list(source.columns) == ["email", "First_name", "Größe", "_2nd"]


def test_empty_rows_are_passed_over_and_counted() -> None:
    assert [r.row for r in read_csv("email,n\n\na@example.com,1\n,\n\nb@example.com,2\n\n")] == [3, 6]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", (1, None, "the first row is empty")),
        ("\n\n", (1, None, "the first row is empty")),
        ("name,city\nx,y\n", (1, None, "no column is called email; there are: name, city")),
        ("ann@example.com\nbob@example.com\n", (1, None, "no column is called email; there are: 'ann@example.com'")),
        ("email,Email\n", (1, "Email", "means the variable email, as does email; rename one of them")),
        ("email,a b,a_b\n", (1, "a_b", "means the variable a_b, as does 'a b'; rename one of them")),
        ("email,a\x0bb,a\x0bb\n", (1, r"'a\x0bb'", r"means the variable a_b, as does 'a\x0bb'; rename one of them")),
        ("email,\n", (1, "2", "has no name")),
        ("email\n", (None, None, "there are no recipients below the header")),
        ("email,name\nann@example.com\n", (2, None, "has 1 columns, and the header has 2")),
        ("email\nann@example.com,x\n", (2, None, "has 2 columns, and the header has 1")),
        ('email,n\n"ann@example.com,1\nb@example.com,2\n', (2, None, 'a quote (") that begins here is not closed')),
        ('email,n\na@example.com,"1"x\n', (2, None, "there is text after a closing quote")),
        ('email,"n\n', (1, None, 'a quote (") that begins here is not closed')),
        ("email\nann\n", (2, "email", "'ann' is not a mail address")),
        ("email\nann@example.com\nANN@EXAMPLE.com\n", (3, "email", "ANN@example.com is in row 2 already")),
        ("email\na@example.com\r\n Bcc: x@example.com\n", (3, "email", "is not a mail address")),
        ('email\n"a@example.com\nBcc: b@example.com"\n', (2, "email", "is not a mail address")),
        ("email,n\na@example.com,x\x00y\n", (2, "n", "contains a NUL byte; remove it")),
        (b"email,n\na@example.com,M\xfcller\n", (2, "n", "is not UTF-8; save the file as UTF-8")),
        (b"email,n\xfc\na@example.com,x\n", (1, "2", "is not UTF-8")),
        (b"PK\x03\x04\x14\x00", (None, None, "the file is an Excel or OpenDocument file; save it as CSV UTF-8")),
        ("email\na@example.com\n".encode("utf-16"), (None, None, "the file is UTF-16; save it as CSV UTF-8")),
        (b"email,n\n" + b"x" * 2_000_000, (None, None, "line 2 is longer than 1,000,000 characters")),
        (b'email,n\n"' + b"x\n" * 200_000, (2, None, 'a quote (") that begins here is not closed')),
    ],
)
def test_each_fault_names_its_place_and_what_to_change(content: str | bytes, fault: tuple[Any, Any, str]) -> None:
    row, column, message = csv_faults(content)[0]
    assert (row, column) == fault[:2]
    assert fault[2] in message


def test_faults_are_collected_and_the_twentieth_is_the_last() -> None:
    content = "email\n" + "".join(f"wrong{n}\n" for n in range(30))
    with pytest.raises(RecipientsInvalid) as caught:
        read_csv(content)
    assert [fault["row"] for fault in caught.value.faults] == list(range(2, 22))
    assert caught.value.more
    assert str(caught.value).endswith("; and more")


def test_nothing_is_handed_out_after_the_first_fault() -> None:
    rows = CsvRecipients(io.BytesIO(b"email\na@example.com\nwrong\nb@example.com\n")).read(())
    assert next(rows).address == "a@example.com"
    with pytest.raises(RecipientsInvalid):
        next(rows)


def test_limits_are_named() -> None:
    assert csv_faults("email\na@example.com\nb@example.com\n", rows=1)[0][2] == (
        "there are more than 1 recipients; split the file"
    )
    assert csv_faults("email,a,b\n", columns=2) == [(1, None, "has 3 columns; at most 2 are allowed")]
    assert csv_faults(f"email,n\na@example.com,{'x' * 101}\n", field=100) == [
        (2, "n", "has 101 characters; at most 100 are allowed")
    ]


def test_what_is_quoted_in_a_message_is_short_and_printable() -> None:
    ((_, _, message),) = csv_faults("email\n" + "\u202e\x07" * 4000 + "\n")
    assert message.isprintable()
    assert message.isascii()
    assert len(message) < 1000


@pytest.mark.parametrize(
    "name", ["a\x0bb", "a\x1cb", "a\x7fb", "\x7f", "a\x85b", "a\xa0b", "\u200b", "a\u2028b", "\U0001f389\n"]
)
def test_names_of_columns_that_cannot_be_printed_are_escaped(name: str) -> None:
    with pytest.raises(RecipientsInvalid) as caught:
        read_csv(f'email,"{name}","{name}"\na@example.com,1,2\n')
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_refused_and_never_crash(seed: int) -> None:
    garbage = os.urandom(2000)
    for content in (garbage, b"email,n\n" + garbage, b"\xef\xbb\xbfemail;n\r\na@example.com;" + garbage):
        with pytest.raises(RecipientsInvalid) as caught:
            read_csv(content)
        assert str(caught.value).isprintable()


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_seconds_and_little_memory() -> None:
    people = (f"user{n}@mail{n % 500}.example.com,Name {n},Straße {n}\n" for n in range(100_000))
    stream = io.BytesIO(("email,name,street\n" + "".join(people)).encode())
    started = time.process_time()
    assert sum(1 for _ in CsvRecipients(stream).read(())) == 100_000
    assert time.process_time() - started < 10  # 0.6 s on an idle machine
    stream.seek(0)
    tracemalloc.start()
    try:
        for number, _ in enumerate(CsvRecipients(stream).read(())):
            if number == 20_000:
                break
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


TWICE = "email,order\nann@example.com,1\nbob@example.com,2\n ANN@Example.com ,3\nann@example.com,1\n"


def test_two_rows_with_one_address_are_refused_and_both_are_named() -> None:
    assert csv_faults(TWICE) == [
        (row, "email", f"{spelled} is in row 2 already; remove one of the two, or choose with `duplicates`: "
         "`first` sends the first of them, `all` sends each")
        for row, spelled in ((4, "ANN@example.com"), (5, "ann@example.com"))
    ]  # fmt: skip


@pytest.mark.parametrize(("duplicates", "rows"), [("first", [2, 3]), ("all", [2, 3, 4, 5])])
def test_a_setting_sends_the_first_of_them_or_all(duplicates: str, rows: list[int]) -> None:
    source = CsvRecipients(io.BytesIO(TWICE.encode()), duplicates=Duplicates(duplicates))
    read = list(source.read(()))
    assert [recipient.row for recipient in read] == rows
    assert [recipient.variables["order"] for recipient in read] == [
        str(dict(zip([2, 3, 4, 5], "1231", strict=True))[r]) for r in rows
    ]
    items = [{"email": "a@example.com", "n": n} for n in range(4)]
    listed = list(JsonRecipients(items, duplicates=Duplicates(duplicates)).read(()))
    assert len(listed) == (1 if duplicates == "first" else 4)
    assert source.left_out == 4 - len(rows)


def test_a_faulty_address_is_a_fault_whatever_the_setting() -> None:
    for duplicates in Duplicates:
        source = CsvRecipients(io.BytesIO(b"email\na@example.com\na@example.com\nwrong\n"), duplicates=duplicates)
        with pytest.raises(RecipientsInvalid, match="row 4, column email"):
            list(source.read(()))


def test_which_row_was_the_first_takes_at_most_36_bytes_for_each() -> None:
    rows = FirstRows()
    for row in range(1, 30_001):
        assert rows.first(f"user{row}@example.com", row) == row
        assert rows.__sizeof__() <= max(36 * row, 12 * 1024)
    assert [rows.first(f"user{row}@example.com", 99_999) for row in (1, 777, 30_000)] == [1, 777, 30_000]


def test_json_recipients_keep_their_values() -> None:
    items = [{"email": "Ann@Example.com", "orders": [{"id": 1, "total": 2.5}], "vip": True, "note": None}]
    assert read_json(items, ["orders"]) == [
        Recipient(1, "Ann@example.com", {"orders": [{"id": 1, "total": 2.5}], "vip": True, "note": None})
    ]


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (3, (2, None, "is not an object with the member email")),
        ({"name": "x"}, (2, "email", "is missing, or is not a string")),
        ({"email": 3, "name": "x"}, (2, "email", "is missing, or is not a string")),
        ({"email": "b@example.com"}, (2, "name", "is missing, and the templates use it; there are: email")),
        ({"email": "b", "name": "x"}, (2, "email", "'b' is not a mail address")),
        ({"email": "A@example.com", "name": "x"}, (2, "email", "A@example.com is in row 1 already")),
        ({"email": "b@example.com", "name": "a\x00"}, (2, "name", "contains NUL")),
        ({"email": "b@example.com", "name": "\ud800"}, (2, "name", "half of a surrogate pair")),
        ({"email": "b@example.com", "name": "x" * 10_001}, (2, "name", "has 10,001 characters")),
        ({"email": "b@example.com", "name": 2**70}, (2, "name", "more than 64 bits")),
        ({"email": "b@example.com", "name": [[[[[[1]]]]]]}, (2, "name", "nested more than 5 levels deep")),
        ({"email": "b@example.com", "name": {"a": [1] * 101}}, (2, "name", "has 101 items")),
        ({"email": "b@example.com", "name": {1}}, (2, "name", "is of the type set")),
        ({"email": "b@example.com", "name": "x", "\ud800": 1}, (2, "'\\ud800'", "half of a surrogate pair")),
        ({"email": "b@example.com", **{f"n{n}": n for n in range(101)}, "name": 1}, (2, None, "has 103 members")),
    ],
)
def test_faults_in_json_name_the_recipient_and_the_member(item: object, fault: tuple[Any, Any, str]) -> None:
    faults = json_faults([{"email": "a@example.com", "name": "x"}, item], ["name"])
    assert faults[0][:2] == fault[:2]
    assert fault[2] in faults[0][2]


def test_an_empty_or_too_long_list_is_refused() -> None:
    assert json_faults([]) == [(None, None, "there are no recipients")]
    items = [{"email": f"u{n}@example.com"} for n in range(3)]
    assert json_faults(items, rows=2) == [(None, None, "there are more than 2 recipients; split the list")]
