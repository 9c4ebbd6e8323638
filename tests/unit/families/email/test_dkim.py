"""Signatures of mails, beside the published examples of RFC 8463, appendix A."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from celeriac.core.errors import ConfigurationError
from celeriac.families.email import EmailSettings
from celeriac.families.email.dkim import DkimKey, Signer, data_to_sign, relaxed_body, relaxed_header
from celeriac.families.email.dkim_keys import read_dkim_keys
from celeriac.families.email.stationery import stationery
from celeriac.settings import read

RSA_1024 = """-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
ED25519_SEED = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
HEADERS = [
    b"From: Joe SixPack <joe@football.example.com>",
    b"To: Suzie Q <suzie@shopping.example.net>",
    b"Subject: Is dinner ready?",
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)",
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>",
]
BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n"
BODY_HASH = b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
ED25519_FIELD = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
)
RSA_FIELD = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
)


@pytest.fixture
def rsa(tmp_path: Path) -> Path:
    path = tmp_path / "rsa.pem"
    path.write_text(RSA_1024)
    return path


@pytest.fixture
def ed25519(tmp_path: Path) -> Path:
    path = tmp_path / "ed25519.pem"
    key = Ed25519PrivateKey.from_private_bytes(ED25519_SEED)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def signed_by(path: Path, field: bytes) -> bytes:
    (key,) = read_dkim_keys(f"s={path}")
    return base64.b64encode(key.sign(data_to_sign(HEADERS, field)))


def test_signs_as_the_published_example_of_ed25519(ed25519: Path) -> None:
    expected = b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    assert signed_by(ed25519, ED25519_FIELD) == expected


def test_signs_as_the_published_example_of_rsa(rsa: Path) -> None:
    assert signed_by(rsa, RSA_FIELD) == (
        b"F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeef"
        b"Osk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="
    )


@pytest.mark.parametrize("cut", [0, 3, 30])
def test_hashes_the_body_of_the_published_example_with_and_without_an_end(ed25519: Path, cut: int) -> None:
    start = BODY.index(b"We lost") if cut else len(BODY)  # an end begins with a line
    message = b"\r\n".join(HEADERS) + b"\r\n\r\n" + BODY[:start]
    signed = Signer(read_dkim_keys(f"s={ed25519}"), "football.example.com", BODY[start:]).sign(message)
    assert b" bh=" + BODY_HASH + b";" in signed
    assert signed.endswith(message)


def test_canonical_forms_are_those_of_rfc_6376() -> None:
    # Section 3.4.5.
    assert relaxed_header(b"A: X") == b"a:X"
    assert relaxed_header(b"B : Y\t\r\n\tZ  ") == b"b:Y Z"
    assert relaxed_body(b" C \r\nD \t E\r\n") == b" C\r\nD E\r\n"


def test_headers_are_signed_once_more_than_they_are_there(ed25519: Path) -> None:
    message = (
        b"\r\n".join([*HEADERS, b"List-Unsubscribe: <https://a.example>,\r\n <mailto:b@a.example>"]) + b"\r\n\r\nx"
    )
    signed = Signer(read_dkim_keys(f"s={ed25519}"), "a.example").sign(message)
    names = signed[
        signed.index(b" h=") + 3 : signed.index(b"; bh=") if b"; bh=" in signed else signed.index(b";\r\n bh=")
    ]
    listed = names.replace(b"\r\n ", b"").split(b":")
    assert listed.count(b"from") == listed.count(b"list-unsubscribe") == 2
    assert listed.count(b"cc") == listed.count(b"list-unsubscribe-post") == 1
    assert max(map(len, signed.split(b"\r\n"))) <= 100


@pytest.mark.parametrize(
    ("sender", "domain"),
    [("example.com", "example.com"), ("News.Example.com", "example.com"), ("notexample.com", None), ("com", None)],
)
def test_a_key_of_a_domain_signs_for_it_and_what_is_below_it(sender: str, domain: str | None) -> None:
    key = DkimKey("s", "example.com", "ed25519-sha256", 0, lambda data: data)
    assert key.domain_for(sender) == domain
    assert DkimKey("s", None, "ed25519-sha256", 0, lambda data: data).domain_for(sender) == sender
    if domain is None:
        assert Signer([key], sender).sign(b"A: b\r\n\r\nx") == b"A: b\r\n\r\nx"


def test_a_setting_that_is_wrong_is_named_with_what_to_change(tmp_path: Path, rsa: Path, ed25519: Path) -> None:
    other, locked, text = tmp_path / "ec.pem", tmp_path / "locked.pem", tmp_path / "text"
    other.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    locked.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )
    text.write_text("hello")
    for value, said in {
        "s1": "expected selector=/path/key.pem",
        f"s 1={rsa}": "expected selector=/path/key.pem",
        f"s1:exa mple={rsa}": "is not a domain",
        f"s1={tmp_path / 'none'}": "No such file",
        f"s1={tmp_path}": "Is a directory",
        f"s1={text}": "is not a private key in PEM",
        f"s1={other}": "is a key of another kind",
        f"s1={locked}": "protected by a password",
        f"s1={rsa},S1={ed25519}": "is there twice",
    }.items():
        with pytest.raises(ConfigurationError, match=r"CELERIAC_MAIL_DKIM_KEYS|mail_dkim_keys") as caught:
            read(EmailSettings, mail_dkim_keys=value)
        assert said in str(caught.value)


def test_a_weak_key_signs_with_a_warning_and_no_repr_shows_a_key(
    rsa: Path, ed25519: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = stationery(read(EmailSettings, mail_dkim_keys=f"s1={rsa}, s2:Example.com={ed25519}"))
    assert [(key.selector, key.domain, key.bits) for key in made.dkim_keys] == [
        ("s1", None, 1024),
        ("s2", "example.com", 0),
    ]
    assert "the DKIM key s1 has 1024 bits" in caplog.text
    assert "sign" not in repr(made.dkim_keys) and "PRIVATE" not in repr(made)
