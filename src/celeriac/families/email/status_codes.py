"""What an enhanced status code says of a recipient's address (RFC 3463, and IANA's registry of these codes). Pure."""

from __future__ import annotations

import re

_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")

#: Codes of an address that will never take mail: there is no such mailbox (1.1), no such system (1.2), it is badly
#: written (1.3), has moved (1.6), its domain takes no mail (1.10), or the mailbox is disabled (2.1). All other codes
#: may concern the sender, the message, or the moment: a full mailbox, a policy, a size.
_DEAD = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})


def find_code(text: str) -> str | None:
    """Return the first enhanced status code in a text, such as `5.1.1`, or None."""
    found = _CODE.search(text)
    return found.group() if found else None


def concerns_address(text: str) -> bool:
    """Return whether a reply begins with a code that says, for good, that the address cannot get mail."""
    found = _CODE.search(text)
    if found is None or text[: found.start()].strip():
        return False
    return is_dead(found.group())


def is_dead(code: str) -> bool:
    """Return whether an enhanced status code says, for good, that the address cannot get mail."""
    kind, subject, detail = code.split(".")
    return kind == "5" and f"{int(subject)}.{int(detail)}" in _DEAD
