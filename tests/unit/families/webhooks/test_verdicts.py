"""What follows from an answer of an endpoint."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from celeriac.families.webhooks.outcomes import Failure, Reply
from celeriac.families.webhooks.verdicts import Verdict, judge, read_retry_after

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_any_2xx_delivers(status: int) -> None:
    assert judge(Reply(status)).kind == "delivered"


@pytest.mark.parametrize(
    "status", [300, 301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 418, 422, 429, 500, 502, 503, 504, 599]
)
def test_any_other_status_is_tried_again(status: int) -> None:
    assert judge(Reply(status)) == Verdict("retry", why=f"status {status}")


@pytest.mark.parametrize("kind", ["name", "connect", "tls", "timeout", "broken", "protocol"])
def test_any_failure_is_tried_again(kind: str) -> None:
    assert judge(Failure(kind, "it broke")) == Verdict("retry", why="it broke")  # pyright: ignore[reportArgumentType]


def test_410_disables_the_endpoint() -> None:
    verdict = judge(Reply(410, {"webhook-delivery": "abort-message"}))
    assert (verdict.kind, verdict.disables) == ("gone", True)


@pytest.mark.parametrize(
    ("status", "wish", "kind", "disables"),
    [
        (500, "disable", "gone", True),
        (404, " Disable ", "gone", True),
        (204, "disable", "delivered", True),
        (500, "abort-message", "aborted", False),
        (400, "ABORT-MESSAGE", "aborted", False),
        (200, "abort-message", "delivered", False),
        (500, "something-else", "retry", False),
        (200, "", "delivered", False),
    ],
)
def test_the_receiver_can_say_what_is_to_happen(status: int, wish: str, kind: str, disables: bool) -> None:
    verdict = judge(Reply(status, {"webhook-delivery": wish}))
    assert (verdict.kind, verdict.disables) == (kind, disables)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("86401", 86400.0),
        ("9" * 5000, 86400.0),
        ("Sun, 29 Nov 2026 12:02:00 GMT", 120.0),
        ("Sunday, 29-Nov-26 12:02:00 GMT", 120.0),
        ("Sun Nov 29 12:02:00 2026", 120.0),
        ("Sun, 29 Nov 2026 13:02:00 +0100", 120.0),
        ("Sun, 29 Nov 2026 12:02:00 -0000", 120.0),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 29 Nov 2099 11:00:00 GMT", 86400.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("\u0667", None),
        ("soon", None),
        ("Sun, 99 Nov 2026 12:02:00 GMT", None),
        ("Sun, 29 Nov 99999999999 12:02:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(value: str, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("status", [429, 503, 500, 302])
def test_a_receiver_may_say_when_to_come_again(status: int) -> None:
    assert judge(Reply(status, {"retry-after": "30"})).after == 30
