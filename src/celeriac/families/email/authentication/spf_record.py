"""Reads SPF records (RFC 7208, 12), and fills in their macros (7). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError

from celeriac.families.email.authentication.server import Address

Network = IPv4Network | IPv6Network

_NAMES = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})
_TERM = re.compile(r"([+\-~?]?)([A-Za-z][A-Za-z0-9]*)([\s\S]*)")
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.\-]*)=([!-~]*)")
_MACRO = re.compile(r"%(?:\{([slodihpvSLODIHPV])([0-9]{0,3})(r?)([.\-+,/_=]*)\}|([%_\-]))")
_LENGTHS = re.compile(r"(?:/([0-9]{1,2}))?(?://([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Term:
    """A mechanism. `domain` is empty if it means the domain of the record; `network` is that of `ip4` and `ip6`."""

    text: str
    qualifier: str
    name: str
    domain: str = ""
    network: Network | None = None
    bits4: int = 32
    bits6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record. `redirect` is the domain whose record decides if no term does."""

    terms: tuple[Term, ...]
    redirect: str | None = None


def is_spf(text: str) -> bool:
    """Return whether a TXT record is one of SPF."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def parse_spf(text: str) -> SpfRecord:
    """Read a record.

    Raises:
        ValueError: says what is wrong. Receivers take none of such a record.
    """
    terms, modifiers = list[Term](), dict[str, str]()
    for word in text[len("v=spf1") :].split(" "):
        if not word:
            continue
        modifier = _MODIFIER.fullmatch(word)
        if modifier is None:
            terms.append(_term(word))
            continue
        name, value = modifier[1].lower(), modifier[2]
        if name in ("redirect", "exp"):
            if name in modifiers:
                raise ValueError(f"{name}= is there twice")
            modifiers[name] = _domain(word, value)
    decided = any(term.name == "all" for term in terms)  # then redirect= means nothing (6.1)
    return SpfRecord(tuple(terms), None if decided else modifiers.get("redirect"))


def expand(spec: str, domain: str, address: Address, sender: str) -> str:
    """Fill in the macros of a domain (7). `sender` is the address in MAIL FROM."""
    local, _, sender_domain = sender.rpartition("@")
    shown = ".".join(address.exploded.replace(":", "")) if address.version == 6 else str(address)
    values = {
        "s": sender, "l": local, "o": sender_domain, "d": domain, "i": shown, "p": "unknown",
        "v": "in-addr" if address.version == 4 else "ip6", "h": sender_domain,
    }  # fmt: skip

    def fill(found: re.Match[str]) -> str:
        letter, digits, reverse, delimiters, plain = found.groups()
        if plain:
            return {"%": "%", "_": " ", "-": "%20"}[plain]
        parts = values[letter.lower()].translate(dict.fromkeys(map(ord, delimiters or "."), "\0")).split("\0")
        parts = parts[::-1] if reverse else parts
        return ".".join(parts[-int(digits) :] if digits else parts)

    name = _MACRO.sub(fill, spec).rstrip(".")
    while len(name) > 253 and "." in name:  # 7.3: from the left
        name = name.partition(".")[2]
    return name


def _term(word: str) -> Term:
    found = _TERM.fullmatch(word)
    name = found[2].lower() if found else ""
    value, lengths = _split(found[3]) if found else ("", "")
    if found is None or name not in _NAMES or (value is not None and not value.startswith(":")):
        raise ValueError(f"{word[:60]!r} is no term of SPF")
    qualifier, value = found[1] or "+", value and value[1:]
    if name in ("ip4", "ip6"):
        return Term(word, qualifier, name, network=_network(word, name, (value or "") + lengths))
    if name == "all":
        if value is not None or lengths:
            raise ValueError(f"{word[:60]!r}: `all` has no value")
        return Term(word, qualifier, name)
    if value is None and name in ("include", "exists"):
        raise ValueError(f"{word[:60]!r}: a domain is missing")
    bits4, bits6 = _bits(word, lengths, may_have=name in ("a", "mx"))
    return Term(word, qualifier, name, "" if value is None else _domain(word, value), None, bits4, bits6)


def _split(rest: str) -> tuple[str | None, str]:
    """Split what follows the name of a term into its value, with a colon, and the lengths of networks."""
    slash = rest.find("/", rest.rfind("}") + 1)  # a macro may have slashes
    value, lengths = (rest, "") if slash < 0 else (rest[:slash], rest[slash:])
    return value or None, lengths


def _bits(word: str, text: str, *, may_have: bool) -> tuple[int, int]:
    """Read the lengths of networks, `/24//64`."""
    found = _LENGTHS.fullmatch(text)
    bits4, bits6 = (int(found[1] or 32), int(found[2] or 128)) if found else (99, 0)
    if (text and not may_have) or bits4 > 32 or bits6 > 128:
        raise ValueError(f"{word[:60]!r}: {text!r} is no length of a network")
    return bits4, bits6


def _network(word: str, name: str, value: str) -> Network:
    _, slash, length = value.partition("/")
    try:
        if not slash or (length.isascii() and length.isdigit()):
            return IPv4Network(value, strict=False) if name == "ip4" else IPv6Network(value, strict=False)
    except (AddressValueError, NetmaskValueError):
        pass
    raise ValueError(f"{word[:60]!r} is no address or network of {'IPv4' if name == 'ip4' else 'IPv6'}")


def _domain(word: str, value: str) -> str:
    """Return a domain, which may have macros, if it ends as a name does: an address is no domain."""
    _, dot, end = value.removesuffix(".").rpartition(".")
    is_label = end.replace("-", "").isalnum() and end.isascii() and not end.isdigit() and end.strip("-") == end
    if "%" in _MACRO.sub("", value) or not value.isprintable() or not (value.endswith("}") or (dot and is_label)):
        hint = "; an address belongs in ip4: or ip6:" if not value.strip("0123456789.") else ""
        raise ValueError(f"{word[:60]!r}: {value[:60]!r} is no domain{hint}")
    return value
