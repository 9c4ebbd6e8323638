"""What `celeriac jobs` prints."""

from __future__ import annotations

from celeriac.jobs_cli import described


def test_a_traceback_is_shown_as_one_below_the_rest_and_nothing_moves_the_cursor() -> None:
    traceback = 'Traceback (most recent call last):\n  File "shop.py", line 7\nValueError: \x1b[2Jno\n'
    error = {"type": "ValueError", "message": "no\nhinges\x1b[2J", "traceback": traceback}
    record = {"id": "a", "task": "t\r\x1b[1A", "arguments": {"a": 1}, "error": error, "worker": None}
    assert list(described(record)) == [
        "id               a",
        r"task             t\r\x1b[1A",
        'arguments        {"a":1}',
        r"error            ValueError: no\nhinges\x1b[2J",
        "",
        'Traceback (most recent call last):\n  File "shop.py", line 7\nValueError: \\x1b[2Jno',
    ]
    assert list(described({"id": "a", "error": None})) == ["id               a"]
