"""What the log of attempts shows of an answer."""

from __future__ import annotations

from celeriac.families.webhooks.excerpts import excerpt_of_body, excerpt_of_headers

SENT = {
    "content-type": "application/json",
    "webhook-id": "msg_123456",
    "webhook-signature": "v1,c2lnbmF0dXJl/+8=",
    "authorization": "Bearer very-secret",
    "x-mode": "live",
}


def test_cookies_and_unknown_headers_are_not_shown() -> None:
    got = {
        "Content-Type": "text/plain",
        "Set-Cookie": "a=b",
        "X-Token": "t",
        "Retry-After": "5",
        "WWW-Authenticate": "x",
    }
    assert excerpt_of_headers(got) == {"content-type": "text/plain", "retry-after": "5"}


def test_where_a_redirect_leads_is_shown_without_its_query() -> None:
    assert excerpt_of_headers({"Location": "https://a.example/login?token=x"}) == {
        "location": "https://a.example/login"
    }


def test_a_long_header_is_cut_and_what_a_terminal_obeys_is_not_shown() -> None:
    assert excerpt_of_headers({"Server": "\x1b[2J" + "a" * 500}) == {"server": "\ufffd[2J" + "a" * 196}


def test_what_we_sent_as_a_secret_is_not_shown_though_the_receiver_returns_it() -> None:
    body = (
        b'you sent {"authorization": "Bearer very-secret", "only": "very-secret", "signature": "v1,c2lnbmF0dXJl\\/+8="}'
    )
    shown = excerpt_of_body(body, {}, sent=SENT)
    assert "very-secret" not in shown
    assert shown.startswith('you sent {"authorization": "***", "only": "***"')


def test_what_is_no_secret_is_shown() -> None:
    assert excerpt_of_body(b"msg_123456 is live", {}, sent=SENT) == "msg_123456 is live"


def test_a_secret_at_the_cut_is_not_shown_in_part() -> None:
    shown = excerpt_of_body(b"a" * 995 + b"very-secret", {}, sent=SENT)
    assert shown == "a" * 995 + "***"


def test_a_body_that_is_no_text_is_only_counted() -> None:
    assert excerpt_of_body(b"\0\1\2", {}, sent={}) == "(3 bytes that are no text)"
    assert excerpt_of_body(b"x" * 99, {"content-encoding": "GZIP"}, sent={}) == "(99 bytes, packed as gzip)"
    assert excerpt_of_body(b"caf\xe9\x1b[2J", {"content-encoding": "identity"}, sent={}) == "caf\ufffd\ufffd[2J"


def test_a_long_body_is_cut() -> None:
    assert excerpt_of_body(b"ab" * 5000, {}, sent={}) == "ab" * 500
