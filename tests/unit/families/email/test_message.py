"""Messages, read back by the standard library's parser."""

import email
import email.policy
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any, cast

import pytest

from celeriac.families.email.address import Sender
from celeriac.families.email.message import (
    ATTACHED_END,
    MessageBuilder,
    attachment_head,
    encode_header,
    message_id,
)

DATE = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
SENDER = Sender("News", "news@example.com")


def build(**changes: Any) -> bytes:
    given = {"to": "bob@example.com", "subject": "Hello", "text": "Hi\n", "html": None}
    builder = MessageBuilder(changes.pop("sender", SENDER), changes.pop("list_unsubscribe", None))
    return builder.build(**{**given, "message_id": "<1.abc@example.com>", "date": DATE, **changes})


def parse(message: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(message, policy=email.policy.default))


def body(message: bytes, kind: str) -> str:
    part = parse(message).get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_the_headers_say_who_what_and_when() -> None:
    parsed = parse(build(list_unsubscribe="<https://example.com/u?a=1>, <mailto:u@example.com>"))
    assert {name: str(value) for name, value in parsed.items()} == {
        "From": "News <news@example.com>",
        "List-Unsubscribe": "<https://example.com/u?a=1>, <mailto:u@example.com>",
        "To": "bob@example.com",
        "Subject": "Hello",
        "Date": "Sun, 22 Nov 2026 10:30:00 +0000",
        "Message-ID": "<1.abc@example.com>",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
    }
    assert parsed.defects == []


TEXTS = [
    "plain\n",
    "no newline at the end",
    "",
    "Grüße, 東京, 👩‍👩‍👧, \u2028 and \x0c\n",
    ".\n..\n.dot\nFrom me\n",
    "trailing spaces   \nand tabs\t\n",
    "=20 = =_ =_celeriac_part\n--=_celeriac_part--\n",
    "x" * 5000 + "\n" + "é" * 3000 + "\n",
    "\n\n\n",
    "<p>&amp;</p>\n" * 300,
]


@pytest.mark.parametrize("text", TEXTS)
def test_bodies_come_back_as_they_were(text: str) -> None:
    expected = text if text.endswith("\n") else text + "\n"
    assert body(build(text=text), "plain") == expected
    both = build(text=text, html=text)
    assert parse(both).get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in parse(both).iter_parts()] == ["text/plain", "text/html"]
    assert body(both, "plain") == body(both, "html") == expected


@pytest.mark.parametrize("text", ["a\rb\r\nc\nd", "a\r\n\r\nb", "\r\r"])
def test_any_kind_of_line_break_becomes_crlf(text: str) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert body(build(text=text), "plain").rstrip("\n") == expected.rstrip("\n")


@pytest.mark.parametrize("text", TEXTS)
def test_a_message_is_ascii_lines_of_a_length_that_every_server_takes(text: str) -> None:
    message = build(text=text, html=text, subject="Ä " * 400)
    assert message.isascii()
    assert message.endswith(b"\r\n")
    assert b"\n" not in message.replace(b"\r\n", b"")
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert max(map(len, message.split(b"\r\n"))) <= 78


SUBJECTS = [
    "Hello",
    "Grüße aus Köln",
    "👩‍👩‍👧" * 40,
    "a long subject of many ordinary words " * 10,
    "x" * 500,
    "two  spaces " * 20,
    "=?utf-8?b?SGVsbG8=?=",
    " leading and trailing ",
    "tab\tinside",
    "",
    "%" * 200,
]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects_come_back_as_they_were(subject: str) -> None:
    parsed = parse(build(subject=subject.strip()))
    assert parsed["Subject"] == subject.strip()
    assert parsed["Subject"].defects == ()


@pytest.mark.parametrize("name", ["News", "News, Ltd.", 'The "News"', "back\\slash", "Müller & Söhne", "=?x?=", ""])
def test_names_come_back_as_they_were(name: str) -> None:
    sender = parse(build(sender=Sender(name, "news@example.com")))["From"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == (name, "news@example.com")


def test_a_name_that_takes_several_encoded_words_comes_back_as_it_was() -> None:
    # The parser that the other tests use puts spaces between such words, against RFC 2047, 6.2.
    raw = email.message_from_bytes(build(sender=Sender("名" * 50, "news@example.com")))["From"]
    assert str(make_header(decode_header(raw))) == "名" * 50 + " <news@example.com>"


@pytest.mark.parametrize("evil", ["a\r\nBcc: all@example.com", "a\nb", "a\rb"])
def test_nothing_can_add_a_header(evil: str) -> None:
    for field in ("to", "subject", "message_id", "list_unsubscribe"):
        with pytest.raises(ValueError, match="line break"):
            build(**{field: evil})
    with pytest.raises(ValueError, match="line break"):
        build(sender=Sender(evil, "a@example.com"))


def test_a_list_unsubscribe_that_is_no_header_is_refused() -> None:
    for value in ("<https://exämple.de>", f"<https://example.com/{'x' * 900}>"):
        with pytest.raises(ValueError, match="List-Unsubscribe"):
            build(list_unsubscribe=value)


def test_an_internationalised_address_stays_as_it_is() -> None:
    assert "To: jörg@example.com\r\n".encode() in build(to="jörg@example.com")


def test_a_message_without_a_body_is_refused() -> None:
    with pytest.raises(ValueError, match="text or an HTML"):
        build(text=None, html=None)


def test_half_a_surrogate_pair_does_no_harm() -> None:
    assert body(build(text="a\ud800b"), "plain") == "a?b\n"
    assert parse(build(subject="a\ud800b"))["Subject"] == "a?b"


def test_the_message_id_is_the_same_each_time_and_differs_by_recipient() -> None:
    first = message_id("0b1e9d1c-0000-4000-8000-000000000000", 7, "example.com")
    assert first == "<7.0b1e9d1c-0000-4000-8000-000000000000@example.com>"
    assert first != message_id("0b1e9d1c-0000-4000-8000-000000000000", 8, "example.com")


@pytest.mark.parametrize("odd", ["shop:mailing:1", "a..b", "a."])
def test_any_job_id_makes_a_valid_message_id(odd: str) -> None:
    made = message_id(odd, 1, "example.com")
    assert made == message_id(odd, 1, "example.com")
    assert parse(build(message_id=made))["Message-ID"].defects == ()


def test_folding_leaves_room_for_the_headers_name() -> None:
    assert encode_header("word " * 14 + "end", used=9).split(b"\r\n")[0] == b"word " * 12 + b"word"


@pytest.mark.parametrize("name", ["report.pdf", "März (1).csv", 'a"b; c=d.txt', "東京" * 30, "'' % *.pdf"])
def test_an_attachment_keeps_its_name_and_is_no_part_of_the_text(name: str) -> None:
    message = MessageBuilder(SENDER, attached=True).build(
        to="bob@example.com", subject="Hello", text="--=_celeriac_mixed--\n", html=None, message_id="<1@a>", date=DATE
    )
    parsed = parse(message + attachment_head(name, "application/pdf") + b"QUJD\r\n" + ATTACHED_END)
    (part,) = parsed.iter_attachments()
    assert (part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) == (
        name,
        "application/pdf",
        b"ABC",
    )
    text = parsed.get_body(("plain",))
    assert text is not None
    assert text.get_content().strip() == "--=_celeriac_mixed--"
    assert [piece.defects for piece in parsed.walk() if piece.defects] == []


def test_a_senders_name_that_looks_like_an_encoded_word_is_shown_as_it_is() -> None:
    sender = Sender("=?utf-8?q?Bank?=", "news@example.com")
    assert parse(build(sender=sender))["From"].addresses[0].display_name == sender.name
