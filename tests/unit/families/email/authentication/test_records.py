"""Records of DKIM and DMARC, and the setting of the DNS server."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from celeriac.core.errors import ConfigurationError
from celeriac.families.email import EmailSettings
from celeriac.families.email.authentication.dkim_record import parse_key
from celeriac.families.email.authentication.dmarc_record import Policy, is_dmarc, parse_dmarc
from celeriac.families.email.authentication.server import parse_server
from celeriac.settings import read

# RFC 8463, appendix A.2.
ED25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
RSA = (
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J1"
    "6JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT"
    "+l/K4w3QIDAQAB"
)


def test_the_published_keys_are_read() -> None:
    assert parse_key(ED25519).public == base64.b64decode(ED25519.rpartition("p=")[2])
    assert (parse_key(RSA).kind, parse_key(RSA).bits) == ("rsa", 1024)
    spaced = RSA.replace("v=DKIM1; k=rsa; ", "").replace("J1", "J 1 ")
    assert parse_key(f"{spaced}; t=s:y; n=a note") == parse_key(f"t=y;{RSA.partition(';')[2]}")
    revoked = parse_key("v=DKIM1; p=")
    assert revoked.revoked and revoked.public is None


def test_a_key_in_the_older_form_is_the_same_key() -> None:
    """RFC 6376 names RSAPublicKey, and everybody publishes SubjectPublicKeyInfo."""
    der = base64.b64decode(RSA.rpartition("p=")[2])
    bare = base64.b64encode(der[22:]).decode()
    assert parse_key(f"p={bare}") == parse_key(RSA)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("k=rsa; v=DKIM1; p=", "v=DKIM1 has to be first"),
        ("v=DKIM2; p=", "v=DKIM1 has to be first"),
        ("v=DKIM1; k=rsa", "there is no p="),
        ("v=DKIM1; k=dsa; p=AAAA", "no kind of key"),
        ("v=DKIM1; h=sha1; p=AAAA", "does not permit sha256"),
        ("v=DKIM1; s=tlsrpt; p=AAAA", "does not permit email"),
        ("v=DKIM1; p=A", "is not base64"),
        ("v=DKIM1; p=AAAA", "no public key of RSA"),
        ("v=DKIM1; p=AAAA; p=BBBB", "is there twice"),
        ("v=DKIM1; a stranger's text", "is no tag"),
        ("v=DKIM1; k=ed25519; p=AAAA", "has 3 bytes"),
        (RSA[:150], "is not base64|no public key of RSA"),
    ],
)
def test_a_wrong_key_is_refused_with_the_tag(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_key(text)


def test_a_key_of_another_kind_is_refused() -> None:
    public = generate_private_key(SECP256R1()).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="another kind"):
        parse_key(f"v=DKIM1; p={base64.b64encode(der).decode()}")


def test_a_policy_is_read_with_its_defaults() -> None:
    record = parse_dmarc("example.com", "v=DMARC1; p=Reject; rua=mailto:a@b.example ,mailto:c@d.example!10m")
    assert (record.policy, record.subdomain_policy, record.percent) == (Policy.REJECT, Policy.REJECT, 100)
    assert (record.strict_dkim, record.strict_spf, record.psd) == (False, False, "u")
    assert record.reports == ("mailto:a@b.example", "mailto:c@d.example!10m")
    other = parse_dmarc("example.com", "v=DMARC1;p=none;sp=quarantine;adkim=s;aspf=s;pct=5;psd=n")
    assert (other.policy_for("example.com"), other.policy_for("a.example.com")) == (Policy.NONE, Policy.QUARANTINE)
    assert (other.strict_dkim, other.strict_spf, other.percent, other.psd) == (True, True, 5, "n")
    assert parse_dmarc("example.com", "v=DMARC1; rua=mailto:a@b.example").policy is Policy.NONE


@pytest.mark.parametrize(
    "text", ["v=DMARC1; p=maybe", "v=DMARC1", "v=DMARC1; p=none; pct=101", "v=DMARC1; p=none; p=none"]
)
def test_a_wrong_policy_is_refused(text: str) -> None:
    assert is_dmarc(text)
    with pytest.raises(ValueError, match=r"no policy|is missing|no percentage|twice"):
        parse_dmarc("example.com", text)


def test_texts_that_are_no_policies_are_left_alone() -> None:
    assert not any(map(is_dmarc, ("v=DMARC10; p=none", "p=none; v=DMARC1", "v=dmarc1; p=none", "")))


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_server_is_an_address_with_or_without_a_port(text: str, server: tuple[str, int]) -> None:
    address, port = parse_server(text)
    assert (str(address), port) == server


@pytest.mark.parametrize("text", ["dns.example.com", "192.0.2.1:0", "192.0.2.1:99999", "192.0.2.1:x", "", "192.0.2.1:"])
def test_a_server_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CELERIAC_MAIL_RESOLVER", text or " ")
    with pytest.raises(
        ConfigurationError, match=r"^CELERIAC_MAIL_RESOLVER=(?s:.*)expected the address of a DNS server"
    ):
        read(EmailSettings)
