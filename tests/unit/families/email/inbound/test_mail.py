"""What raw messages say that come back, and whose mail they are about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.families.email.inbound.dsn import classify
from celeriac.families.email.inbound.mail import read_message
from celeriac.families.email.inbound.model import Feedback, Kind, Place
from celeriac.families.email.stationery import Stationery
from celeriac.families.email.tokens import Purpose, Tokens
from tests.support.returned import arf, dsn, qmail

PLACE = Place("3f0e7a52-7c1b-4c39-9a7e-2f6f8a4b1c5d", 7)
TOKENS = Tokens([b"0123456789abcdef"])
PAPER = Stationery(tokens=TOKENS, public_url="https://api.example.com/email", bounce_address="bounces@example.com")
PATH = PAPER.return_path(PLACE.mailing_id, PLACE.position) or ""
LEAVE = f"leave+{TOKENS.make(Purpose.UNSUBSCRIBE, PLACE.mailing_id, PLACE.position)}@example.com"
HEADERS = PAPER.unsubscribe_headers(PLACE.mailing_id, PLACE.position).decode()


def read(raw: bytes, **options: str) -> Feedback | None:
    return read_message(raw, TOKENS, **options)


def kind_of(raw: bytes) -> Kind | None:
    feedback = read(raw)
    return feedback.kind if feedback is not None else None


def test_a_bounce_finds_its_recipient_by_the_return_path_whatever_it_says() -> None:
    feedback = read(dsn(to=PATH, recipient="forwarded-to@other.example"))
    assert feedback is not None
    assert (feedback.kind, feedback.place, feedback.address) == (Kind.HARD_BOUNCE, PLACE, None)
    assert feedback.said == "550 5.1.1 <ada@example.net>: Recipient address rejected: User unknown"
    assert feedback.status == "5.1.1"


@pytest.mark.parametrize(
    "raw",
    [
        dsn(to=PATH.upper()),
        dsn(to="postmaster@example.com", headers=f"Return-Path: <{PATH}>\r\n"),
        dsn(to="postmaster@example.com", headers=HEADERS),
        b"Delivered-To: " + PATH.encode() + b"\r\n" + dsn(to="undisclosed"),
    ],
)
def test_a_token_is_found_in_the_address_and_in_the_mail_that_is_returned(raw: bytes) -> None:
    feedback = read(raw)
    assert feedback is not None
    assert feedback.place == PLACE


def test_the_address_to_which_a_message_came_may_be_said_by_the_mail_server() -> None:
    feedback = read(dsn(to="undisclosed"), delivered_to=PATH)
    assert feedback is not None
    assert feedback.place == PLACE


def test_a_bounce_without_a_token_of_ours_says_nothing() -> None:
    forged = PATH[:-20] + "aaaa" + PATH[-16:]
    assert read(dsn(to=forged)) is None
    assert read(dsn(to="bounces@example.com")) is None
    assert read_message(dsn(to=PATH), Tokens([b"another secret!!"])) is None


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind"),
    [
        ("5.1.1", "smtp; 550 5.1.1 no such user", Kind.HARD_BOUNCE),
        ("5.0.0", "smtp; 550 5.1.1 no such user", Kind.HARD_BOUNCE),
        ("5.0.0", "smtp; 550 User unknown", Kind.HARD_BOUNCE),
        ("5.0.0", "smtp; 550 rejected", Kind.SOFT_BOUNCE),
        ("5.1.10", "smtp; 556 5.1.10 null MX", Kind.HARD_BOUNCE),
        ("5.2.1", "smtp; 550 5.2.1 disabled", Kind.HARD_BOUNCE),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", Kind.SOFT_BOUNCE),
        ("5.7.1", "smtp; 550 5.7.1 blocked by policy: user unknown to our list", Kind.SOFT_BOUNCE),
        ("5.3.4", "smtp; 552 5.3.4 too big", Kind.SOFT_BOUNCE),
        ("4.4.7", "smtp; 451 4.4.7 expired", Kind.SOFT_BOUNCE),
        ("4.1.1", "smtp; 450 4.1.1 unverified", Kind.SOFT_BOUNCE),
    ],
)
def test_what_a_code_means(status: str, diagnostic: str, kind: Kind) -> None:
    assert kind_of(dsn(to=PATH, status=status, diagnostic=diagnostic)) is kind


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", ""])
def test_a_delay_or_a_delivery_is_no_bounce(action: str) -> None:
    assert read(dsn(to=PATH, action=action, status="4.4.1")) is None


def test_bounces_that_are_no_reports_are_read_too() -> None:
    dead = read(qmail(to=PATH, words="Sorry, no mailbox here by that name. (#5.1.1)"))
    assert dead is not None
    assert (dead.kind, dead.said) == (Kind.HARD_BOUNCE, "Sorry, no mailbox here by that name. (#5.1.1)")
    assert kind_of(qmail(to=PATH, words="The user's mailbox is over quota. (#5.2.2)")) is Kind.SOFT_BOUNCE


@pytest.mark.parametrize("sender", ["", "From:\r\n", "From: \t\r\n"])
def test_a_bounce_from_nobody_is_read_and_fills_no_log(sender: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    raw = qmail(to=PATH, words="Sorry, no mailbox here by that name. (#5.1.1)")
    assert kind_of(raw.replace(b"From: MAILER-DAEMON@mail.example.net\r\n", sender.encode(), 1)) is Kind.HARD_BOUNCE
    assert caplog.records == []


def test_an_answer_to_the_return_path_is_no_bounce() -> None:
    away = f"From: ada@example.net\r\nTo: {PATH}\r\nSubject: I am away\r\n\r\nI am back on Monday.\r\n"
    assert read(away.encode()) is None


@pytest.mark.parametrize(
    ("headers", "fields"),
    [(HEADERS, ""), (f"Return-Path: <{PATH}>\r\n", ""), ("", f"Original-Mail-From: <{PATH}>\r\n")],
)
def test_a_complaint_finds_its_recipient_though_the_address_was_taken_out(headers: str, fields: str) -> None:
    feedback = read(arf(headers=headers, fields=fields))
    assert feedback is not None
    assert (feedback.kind, feedback.place, feedback.said) == (Kind.COMPLAINT, PLACE, "SomeGenerator/1.0")


@pytest.mark.parametrize(
    ("kind", "read_as"),
    [
        *(("abuse", Kind.COMPLAINT), ("Fraud", Kind.COMPLAINT), ("virus", Kind.COMPLAINT)),
        *(("opt-out", Kind.UNSUBSCRIBE), ("not-spam", None), ("auth-failure", None), ("other", None)),
    ],
)
def test_reports_of_other_types_are_no_complaints(kind: str, read_as: Kind | None) -> None:
    assert kind_of(arf(headers=HEADERS, kind=kind)) is read_as


def test_a_complaint_without_a_token_says_nothing() -> None:
    assert read(arf()) is None


def test_a_mail_to_the_address_for_it_unsubscribes() -> None:
    feedback = read(f"From: ada@example.net\r\nTo: <{LEAVE}>\r\nSubject: unsubscribe\r\n\r\n".encode())
    assert feedback is not None
    assert (feedback.kind, feedback.place) == (Kind.UNSUBSCRIBE, PLACE)


def test_the_same_bounce_twice_has_one_key_and_another_recipients_another() -> None:
    other = PAPER.return_path(PLACE.mailing_id, 8) or ""
    first, again, another = read(dsn(to=PATH)), read(dsn(to=PATH, diagnostic="smtp; 550 5.1.1 x")), read(dsn(to=other))
    assert first is not None and again is not None and another is not None
    assert first.key == again.key != another.key


def test_words_of_a_stranger_become_one_printable_line() -> None:
    feedback = Feedback(kind=Kind.SOFT_BOUNCE, source="s", event="e", diagnostic="a\r\n b\x00\x1b[31m" + "x" * 900)
    assert feedback.said.startswith("a b??[31mxxx")
    assert len(feedback.said) == 500


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_without_an_error(raw: bytes) -> None:
    assert read(raw) is None


@given(st.integers(0, 3000), st.binary(max_size=20))
def test_a_damaged_bounce_is_read_without_an_error(place: int, piece: bytes) -> None:
    raw = dsn(to=PATH, headers=HEADERS)
    read(raw[:place] + piece + raw[place + len(piece) :])
    read(raw[:place])


@pytest.mark.slow
def test_parts_within_parts_without_end_say_nothing() -> None:
    nested = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\r\n\r\n--{n}\r\n' for n in range(3000))
    assert read(f"To: {PATH}\r\n{nested}".encode()) is None


@pytest.mark.parametrize("diagnostic", ["", "no", "x" * 10_000])
def test_a_failure_of_no_code_and_no_known_words_is_soft(diagnostic: str) -> None:
    assert classify(None, diagnostic) is Kind.SOFT_BOUNCE
