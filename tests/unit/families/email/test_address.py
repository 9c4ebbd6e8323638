"""Mail addresses."""

import pytest
from email_validator import EmailNotValidError, validate_email

from celeriac.families.email.address import Sender, identity, parse_address, parse_sender, wire_form

LOCALS = ["bob", "Bob.Smith", "INFO", "Postmaster", "a+b", "o'brien", "_x_", "a..b", ".a", "a.", "", "a b", "x" * 250]
LOCALS += ["jörg", "\uff41", '"a b"', "a\n", "a,b", "a<b", "a@b"]
DOMAINS = ["example.com", "EXAMPLE.Com", "mail.example.co.uk", "ex_ample.com", "-a.com", "a-.com", "a..com", "com", ""]
DOMAINS += ["123.45", "a.c1", "xn--exmple-cua.de", "xn--a.com", "ab--c.com", "exämple.de", "x\uff0ecom", "[1.2.3.4]"]
DOMAINS += [
    "a.onion",
    "a.arpa",
    "a.invalid",
    "a" * 64 + ".com",
    ".".join(["a" * 60] * 5),
    "example.com.",
    "a.com\r\nX: y",
]


@pytest.mark.parametrize("local", LOCALS)
def test_the_fast_path_agrees_with_email_validator(local: str) -> None:
    for text in [f"{local}@{domain}" for domain in DOMAINS]:
        try:
            expected = validate_email(text, check_deliverability=False).normalized
        except EmailNotValidError:
            with pytest.raises(ValueError, match=r"\w"):
                parse_address(text)
        else:
            assert parse_address(text) == expected


@pytest.mark.parametrize("address", ["root@localhost", "bob@mail.local", "bob@x.test", "Bob@X.LocalHost"])
def test_names_of_private_networks_are_for_the_mail_server_to_judge(address: str) -> None:
    local, _, domain = address.partition("@")
    assert parse_address(address) == f"{local}@{domain.lower()}"


@pytest.mark.parametrize(
    "text", ["bob", "bob@", "@x.com", "bob@gmail", "bob@.local", "bob@a..local", "Bob <bob@x.com>"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_address(text)


def test_addresses_that_differ_in_case_are_the_same_mailbox() -> None:
    assert identity(parse_address("Bob@Example.com")) == identity(parse_address("bob@EXAMPLE.COM"))


@pytest.mark.parametrize(
    ("address", "wire", "utf8"),
    [
        ("bob@example.com", "bob@example.com", False),
        ("bob@exämple.de", "bob@xn--exmple-cua.de", False),
        ("jörg@exämple.de", "jörg@exämple.de", True),
    ],
)
def test_only_a_local_part_that_is_not_ascii_needs_smtputf8(address: str, wire: str, utf8: bool) -> None:
    assert wire_form(parse_address(address)) == (wire, utf8)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("news@example.com", Sender("", "news@example.com")),
        (" News Desk <Ann@Example.com> ", Sender("News Desk", "Ann@example.com")),
        ('"Desk, News" <a@example.com>', Sender("Desk, News", "a@example.com")),
        ("Müller & Söhne <a@exämple.de>", Sender("Müller & Söhne", "a@xn--exmple-cua.de")),
        (r'"The \"Desk\" \\o/" <a@example.com>', Sender(r'The "Desk" \o/', "a@example.com")),
        ('The "Desk" <a@example.com>', Sender('The "Desk"', "a@example.com")),
        ("celeriac@localhost", Sender("", "celeriac@localhost")),
    ],
)
def test_a_sender_is_an_address_with_or_without_a_name(text: str, sender: Sender) -> None:
    assert parse_sender(text) == sender


@pytest.mark.parametrize(
    "text",
    ["News\r\nBcc: all@example.com <a@example.com>", "a@example.com\n", "News <>", "News", "jörg@example.com", "<a@b>"],
)
def test_a_sender_that_cannot_be_a_header_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_sender(text)
