"""Names of files, as strangers choose them."""

import pytest

from celeriac.core.errors import InvalidFileName
from celeriac.storage.names import MAX_NAME_BYTES, checked_name


@pytest.mark.parametrize(
    "name", ["report.pdf", "Übersicht Q3.xlsx", "売上.csv", "a", "x" * MAX_NAME_BYTES, "a..b", "con-1.txt"]
)
def test_names_of_files(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        ("../etc/passwd", "contains /"),
        ("..", "begins or ends with a dot"),
        (".hidden", "begins or ends with a dot"),
        ("a\\b", "contains \\\\"),
        ("a%2fb", "contains %"),
        ("a#1", "contains #"),
        ("a\0b", "cannot be printed"),
        ("a\r\nb", "cannot be printed"),
        ("invoice\u202efdp.exe", "cannot be printed"),
        ("a ", "begins or ends"),
        ("CON", "device"),
        ("nul.txt", "device"),
        ("con .txt", "device"),
        ("COM¹", "device"),
        ("conout$.csv", "device"),
        ("\ud800", "is no Unicode"),
        ("x" * (MAX_NAME_BYTES + 1), "bytes"),
        ("ü" * MAX_NAME_BYTES, "bytes"),
    ],
)
def test_what_is_no_name_of_a_file(name: str, fault: str) -> None:
    with pytest.raises(InvalidFileName, match=fault):
        checked_name(name)


def test_one_name_has_one_spelling() -> None:
    assert checked_name("u\u0308.txt") == "ü.txt"
