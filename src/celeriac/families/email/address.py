"""Checks mail addresses, normalises them, and turns them into the form that SMTP sends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

#: Longest address, in octets (RFC 5321, 4.5.3.1.3, with the angle brackets taken off).
MAX_OCTETS = 254
#: Longest sender, in characters: about the longest line that a header may have (RFC 5322, 2.1.1).
MAX_SENDER = 998

_TOO_LONG = f"The email address is longer than {MAX_OCTETS} characters."
_ROLES = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)
_ATEXT = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_PLAIN = re.compile(rf"({_ATEXT}(?:\.{_ATEXT})*)@([A-Za-z0-9.\-]+)")
# Names that never leave a private network. Only the mail server knows whether they exist.
_PRIVATE = re.compile(r"(?:.+\.)?(?:localhost|local|test)", re.IGNORECASE)
_PUBLIC_SUFFIX = ".example.com"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a mailing is from: an ASCII address and a display name, which may be empty."""

    name: str
    address: str


def parse_address(text: str) -> str:
    """Return the normal form of a bare address: Unicode in NFC, the domain in lower case and not in Punycode.

    It asks no DNS. email-validator takes 50 µs for an address, three quarters of it for the domain. Lists repeat
    their domains, so a cache keeps those. One regular expression checks a plain ASCII local part.

    Raises:
        ValueError: says what is wrong with the address.
    """
    if len(text) > MAX_OCTETS:  # before anything else reads it
        raise ValueError(_TOO_LONG)
    plain = _PLAIN.fullmatch(text)
    try:
        if plain is None:
            return validate_email(text, check_deliverability=False).normalized
        local, domain = plain.group(1), _domain(plain.group(2))
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    if len(local) + 1 + len(domain.encode()) > MAX_OCTETS:
        raise ValueError(_TOO_LONG)
    if local.lower() in _ROLES:
        local = local.lower()
    return f"{local}@{domain}"


@lru_cache(maxsize=10_000)
def _domain(domain: str) -> str:
    if _PRIVATE.fullmatch(domain):
        checked = validate_email(f"a@{domain}{_PUBLIC_SUFFIX}", check_deliverability=False)
        return checked.domain.removesuffix(_PUBLIC_SUFFIX)
    return validate_email(f"a@{domain}", check_deliverability=False).domain


def identity(address: str) -> str:
    """Return a key that is equal for all spellings of one mailbox's address.

    By RFC 5321 upper and lower case differ in the local part. No mail provider tells them apart, so the same
    person would get two mails.
    """
    return address.casefold()


def wire_form(address: str) -> tuple[str, bool]:
    """Return a normalised address as the SMTP envelope needs it, and whether that requires SMTPUTF8 (RFC 6531).

    An internationalised domain has an ASCII form (Punycode); a local part has none.
    """
    if address.isascii():
        return address, False
    checked = validate_email(address, check_deliverability=False)
    return (checked.ascii_email, False) if checked.ascii_email else (checked.normalized, True)


def parse_sender(text: str) -> Sender:
    """Read `address` or `Name <address>`.

    Raises:
        ValueError: the text is too long or has control characters (a line break could add headers); or the address
            is not valid, or not ASCII, for which every server on the way would have to support SMTPUTF8.
    """
    if len(text) > MAX_SENDER:
        raise ValueError(f"The sender is longer than {MAX_SENDER} characters.")
    if _CONTROL.search(text):
        raise ValueError("The sender must not contain line breaks or control characters.")
    name, bare = _split_mailbox(text.strip())
    address, needs_utf8 = wire_form(parse_address(bare))
    if needs_utf8:
        raise ValueError("The part of the sender's address before the @-sign must be ASCII.")
    return Sender(name, address)


def _split_mailbox(text: str) -> tuple[str, str]:
    """Split `Name <address>` into name and address. The name is empty without angle brackets."""
    name, bracket, address = text.rpartition("<")
    if not bracket or not address.endswith(">"):
        return "", text
    name = name.strip()
    quoted = _QUOTED.fullmatch(name)
    return (name if quoted is None else _ESCAPED.sub(r"\1", quoted[1])), address[:-1]
