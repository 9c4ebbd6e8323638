"""Reads `CELERIAC_SMTP_URL`: the address of the mail server, and the options of the connection."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from celeriac.core.errors import ConfigurationError
from celeriac.settings import is_loopback

_EXPECTED = "expected smtp://user:password@host:587?starttls=true, or smtps://user:password@host"
_DEFAULT_TIMEOUT_S = 60.0
#: The greatest rate, weight, and number of connections or mails.
_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """A mail server and how to reach it. Printing it never shows the password.

    Attributes:
        tls: whether the connection begins with TLS (`smtps://`, usually port 465).
        starttls: True: upgrade the connection, or fail. False: do not upgrade. None: upgrade if the server offers it.
        verify: whether the server's certificate is checked.
        timeout: seconds to wait for the connection, and for the reply to a command.
        ehlo: our name for EHLO; None: that of the machine.
        weight: how much of the mail it gets, beside other servers.
        rate: how many mails a second all workers together may send through it; None: no limit.
        concurrency: how many connections all workers together may have to it; None: no limit.
        daily: how many mails all workers together may send through it on a day (UTC); None: no limit.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    starttls: bool | None = None
    verify: bool = True
    timeout: float = _DEFAULT_TIMEOUT_S
    ehlo: str | None = None
    weight: float = 1.0
    rate: float | None = None
    concurrency: int | None = None
    daily: int | None = None

    def __str__(self) -> str:
        return f"{'smtps' if self.tls else 'smtp'}://{self.host}:{self.port}"


def server_of(url: SecretStr | None) -> SmtpServer:
    """Return the first mail server that `url` names. Raises as `servers_of`."""
    return servers_of(url)[0]


def servers_of(url: SecretStr | None) -> list[SmtpServer]:
    """Return the mail servers that `url` names, separated by spaces.

    Raises:
        ConfigurationError: no URL is set, or it is wrong.
    """
    if url is None:
        raise ConfigurationError("mail cannot be sent: CELERIAC_SMTP_URL is not set; give it as smtp://host:port")
    found = [parse_smtp_url(part) for part in url.get_secret_value().split()]
    if not found:
        raise ConfigurationError("mail cannot be sent: CELERIAC_SMTP_URL is empty; give it as smtp://host:port")
    return found


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp://` or `smtps://`, with its options `starttls`, `verify` (true or false), `timeout` (s), `ehlo`,
    `weight`, `rate` (mails a second), `concurrency` (connections) and `daily` (mails).

    Without `starttls`, a password is sent to another machine only through TLS.

    Raises:
        ConfigurationError: the message says what is wrong, and never contains the password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps"):
        raise ConfigurationError(f"the SMTP URL must start with smtp:// or smtps://; {_EXPECTED}")
    if not parts.hostname:
        raise ConfigurationError(f"the SMTP URL names no host; {_EXPECTED}")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # what follows may be a part of the password
        raise ConfigurationError(
            "the SMTP URL has an @ after its host; in a password, write / as %2F, ? as %3F, # as %23"
        )
    if parts.path not in ("", "/"):
        raise ConfigurationError(f"the SMTP URL has the path {parts.path!r}, which means nothing; {_EXPECTED}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = parts.scheme == "smtps"
    starttls = _flag(options, "starttls")
    if tls and starttls is not None:
        raise ConfigurationError("smtps:// begins with TLS, so starttls= makes no sense; use smtp:// or remove it")
    if starttls is None and not tls and parts.password and not is_loopback(parts.hostname):
        starttls = True
    verify = _flag(options, "verify")
    timeout = _seconds(options)
    ehlo = options.pop("ehlo", None)
    if ehlo is not None and not is_host_name(ehlo):
        raise ConfigurationError(f"the SMTP URL has ehlo={ehlo}; expected the host name to use for EHLO")
    bounds = {name: _number(options, name) for name in ("weight", "rate", "concurrency", "daily")}
    if options:
        raise ConfigurationError(
            f"the SMTP URL has the unknown option {min(options)!r}; "
            "known: starttls, verify, timeout, ehlo, weight, rate, concurrency, daily"
        )
    return SmtpServer(
        host=parts.hostname,
        port=_port(parts) or (465 if tls else 587 if starttls else 25),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        starttls=False if tls else starttls,
        verify=verify is not False,
        timeout=timeout,
        ehlo=ehlo,
        weight=bounds["weight"] or 1.0,
        rate=bounds["rate"],
        concurrency=_whole(bounds["concurrency"]),
        daily=_whole(bounds["daily"]),
    )


def is_host_name(name: str) -> bool:
    """Return whether EHLO may give this name: one of the DNS, with a dot (RFC 5321, 4.1.1.1)."""
    return re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name) is not None


def _flag(options: dict[str, str], name: str) -> bool | None:
    value = options.pop(name, None)
    if value not in (None, "true", "false"):
        raise ConfigurationError(f"the SMTP URL has {name}={value}; expected {name}=true or {name}=false")
    return None if value is None else value == "true"


def _number(options: dict[str, str], name: str) -> float | None:
    """Return an option that is a number above 0; a whole one, unless it is a weight or a rate."""
    value = options.pop(name, None)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    whole = name in ("weight", "rate") or number.is_integer()
    if not 0 < number <= _MOST or not whole:
        kind = "number" if name in ("weight", "rate") else "whole number"
        raise ConfigurationError(f"the SMTP URL has {name}={value}; expected a {kind} above 0 and at most {_MOST}")
    return number


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _seconds(options: dict[str, str]) -> float:
    value = options.pop("timeout", str(_DEFAULT_TIMEOUT_S))
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise ConfigurationError(f"the SMTP URL has timeout={value}; expected seconds, more than 0 and at most 3600")
    return seconds


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ConfigurationError("the SMTP URL's port must be a number from 1 to 65535") from None
