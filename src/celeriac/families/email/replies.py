"""Says what a reply of a mail server means: whom it concerns, and whether another try may help. Pure; no I/O.

Three things decide: the stage of the dialogue (RFC 5321), the first digits of the code (4.2.1), and the enhanced status
code (RFC 3463, RFC 7372, IANA's registry). Many servers give no enhanced code, or a general one. Then the words decide:
those of the large providers and the common servers.

Until MAIL FROM was accepted, no recipient was named, so every refusal concerns the sender. Later a reply may concern
the recipient, the message, or still the sender: Postfix refuses a sender only in its reply to RCPT, and filters do so
after the message.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """What a reply answers."""

    CONNECT = "the connection"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RSET = "RSET"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    END = "the message"


class Verdict(StrEnum):
    """What a reply means."""

    ACCEPTED = "accepted"
    HARD = "hard"
    """The recipient's address does not exist, or takes no mail any more. Never send to it again."""
    SOFT = "soft"
    """The recipient cannot have this mail (a full mailbox, for example). Another mail may arrive."""
    MESSAGE = "message"
    """The message is refused for what it contains or how large it is."""
    POLICY = "policy"
    """Refused by policy. That usually concerns the sender, and sometimes only this recipient."""
    LATER = "later"
    """Not now: this recipient. Greylisting, or a full mailbox."""
    DOMAIN_LATER = "domain later"
    """Not now: the recipient's domain or its server. It is busy, or limits us."""
    SENDER_LATER = "sender later"
    """Not now: everything that this sender sends. A rate or a quota, or a server in trouble."""
    SENDER = "sender"
    """The server takes no mail from this sender."""


_BEFORE_RECIPIENTS = frozenset({Stage.CONNECT, Stage.EHLO, Stage.STARTTLS, Stage.AUTH, Stage.RSET, Stage.MAIL})

#: Codes about the login (RFC 4954, RFC 5248) and commands that the server does not understand: no recipient's fault.
_LOGIN = frozenset({432, 454, 525, 530, 534, 535, 538})
_SYNTAX = frozenset({500, 501, 502, 503, 504, 555})

Enhanced = tuple[int, int]
"""Subject and detail of an enhanced status code; its class is the first digit of the code."""

#: The sender's address (RFC 3463, 3.2), its login and rights (RFC 5248), DKIM, SPF, DMARC, reverse DNS (RFC 7372).
_SENDER = frozenset({(1, 7), (1, 8), *((7, detail) for detail in (*range(8, 17), *range(20, 30)))})
#: Exchange Online: limits of the sender, and senders that are blocked.
_EXCHANGE_SENDER = frozenset(
    {(1, 90), (2, 252), (7, 501), (7, 502), (7, 503), *((7, detail) for detail in range(700, 751))}
)

_PERMANENT: dict[Enhanced, Verdict] = {
    **{(1, detail): Verdict.HARD for detail in range(11)},
    (1, 4): Verdict.SOFT,  # ambiguous
    (1, 9): Verdict.SOFT,  # relayed to a system that is not compliant
    **{(2, detail): Verdict.SOFT for detail in range(5)},
    (2, 1): Verdict.HARD,  # disabled
    (3, 4): Verdict.MESSAGE,  # too big
    **{(4, detail): Verdict.SOFT for detail in range(8)},
    (4, 4): Verdict.HARD,  # no route: the domain has no mail server
    (4, 310): Verdict.HARD,  # Exchange: the domain does not exist
    (5, 3): Verdict.SOFT,
    **{(6, detail): Verdict.MESSAGE for detail in range(7)},
    **{(6, detail): Verdict.SOFT for detail in range(7, 11)},  # internationalised mail (RFC 6531)
    (7, 2): Verdict.SOFT,  # a list that is closed to us
    (7, 17): Verdict.HARD,  # the mailbox has another owner (RFC 7293)
    (7, 18): Verdict.HARD,  # so has the domain
    **{
        (7, detail): Verdict.SOFT for detail in (124, 129, 130, 133, 134, 135, 136, 193)
    },  # Exchange: who may write to it
}

_TRANSIENT: dict[Enhanced, Verdict] = {
    (1, 2): Verdict.DOMAIN_LATER,
    (3, 4): Verdict.LATER,
    (5, 3): Verdict.LATER,
}


def _phrases(listed: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in listed.split(";"))


# Words, in small letters. The order of the checks matters: see `_by_words`.
_GREYLISTING = _phrases("""
    greylist; graylist; grey list; gray list; greyli; try again in ; first time
""")
_QUOTA = _phrases("""
    sending quota; sending limit; sending rate; daily limit; daily message quota; daily user sending; message limit;
    messages per; credits exceeded; submissionquota; maximum sending; quota for this sender; outbound rate; hourly
    limit; exceeded the rate limit for sender; too many messages from
""")
_NO_RELAY = _phrases("""
    relay; rcpthosts; authentication required; authentication is required; authenticate; log in first; login
    required; not logged in; must be authenticated; requires authentication
""")
_BAD_SENDER = _phrases("""
    sender address rejected; sender rejected; sender denied; sender verify; invalid sender; sender domain; domain of
    sender; envelope sender; from address; return-path; unverified sender; not owned by user; sendasdenied; not
    allowed to send as; email address is not verified
""")
_CLOSED = _phrases("""
    resolver.rst; not authorized to send to; restricted to; only accepts mail from; not accept mail from you
""")
_BLOCKED = _phrases("""
    spam; blacklist; blocklist; block list; denylist; blocked; dnsbl; rbl; reputation; unsolicited; policy;
    policies; banned; abuse; suspicious; dmarc; dkim; spf; reverse dns; ptr; postmaster; not authorized; not
    permitted; not allowed; virus; phish; listed; bulk mail; prohibited; complaints
""")
_TOO_BIG = _phrases("""
    too large; too big; size limit; message size; maximum size; exceeds size; size exceeds
""")
_FULL = _phrases("""
    over quota; overquota; mailbox full; mailbox is full; quota exceeded; storage; is full; exceeded quota
""")
_UNKNOWN = _phrases("""
    user unknown; unknown user; user is unknown; unknown recipient; recipient unknown; unknown address; unknown
    mailbox; unknown local; no such; no mailbox; no user; not a valid; invalid recipient; invalid mailbox; invalid
    user; invalid address; bad destination; does not exist; doesn't exist; not exist; mailbox unavailable; mailbox
    not found; user not found; recipient not found; not found; address unknown; unrouteable; unroutable; not known;
    doesn't have a; does not have a; disabled; deactivated; inactive; no longer; not our customer; isn't in; user
    does not; user doesn't; undeliverable; recipient address rejected: access denied; recipient rejected; unknown in
    virtual; has moved; suspended; terminated; cannot be delivered to; not local; mailbox not available; no account;
    account closed
""")


def judge(stage: Stage, code: int, text: str) -> Verdict:
    """Return what a reply means.

    Args:
        code: the three digits; 0: the server did not speak SMTP.
        text: the rest of the reply, with its enhanced code if it has one. The lines are joined by spaces.
    """
    if code // 100 == 2 or (code // 100 == 3 and stage in (Stage.DATA, Stage.AUTH)):
        return Verdict.ACCEPTED
    if code // 100 not in (4, 5):
        return Verdict.SENDER_LATER
    permanent = code // 100 == 5
    enhanced, words = enhanced_code(code, text), text.lower()
    if stage in _BEFORE_RECIPIENTS:
        if stage is Stage.MAIL and permanent and enhanced == (3, 4):
            return Verdict.MESSAGE  # its size was announced (RFC 1870)
        return Verdict.SENDER if permanent else Verdict.SENDER_LATER
    if _is_senders(code, enhanced, words):
        return Verdict.SENDER if permanent else Verdict.SENDER_LATER
    return _permanent(stage, code, enhanced, words) if permanent else _transient(code, enhanced, words)


def enhanced_code(code: int, text: str) -> Enhanced | None:
    """Return subject and detail of the enhanced code at the beginning of `text`, or, as qmail has it, in `(#5.1.1)`.

    None if there is none, or its class is another than the first digit of `code` says.
    """
    candidate = text.partition(" ")[0].rstrip(":-,;")
    if "(#" in text and candidate.count(".") != 2:
        candidate = text.partition("(#")[2].partition(")")[0].split(" ")[0]
    parts = candidate.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        return None
    return (int(parts[1]), int(parts[2])) if int(parts[0]) == code // 100 else None


def _is_senders(code: int, enhanced: Enhanced | None, words: str) -> bool:
    """Return whether a reply to RCPT or DATA says that it concerns the sender, and leaves no doubt."""
    if enhanced in _SENDER or enhanced in _EXCHANGE_SENDER or code in _LOGIN:
        return True
    if any(word in words for word in _QUOTA):
        return True
    if any(word in words for word in _CLOSED):
        return False
    if any(word in words for word in _BAD_SENDER):
        return enhanced is None or enhanced == (1, 0) or enhanced[0] == 7
    return any(word in words for word in _NO_RELAY) and (enhanced is None or enhanced[0] not in (1, 2, 6))


def _transient(code: int, enhanced: Enhanced | None, words: str) -> Verdict:
    if any(word in words for word in _GREYLISTING) and code != 421:
        return Verdict.LATER  # the clock of each recipient starts with its first try
    if code == 421:
        return Verdict.DOMAIN_LATER
    if enhanced is None or enhanced[0] in (0, 1, 2, 6):
        return _TRANSIENT.get(enhanced or (0, 0), Verdict.LATER)
    return _TRANSIENT.get(enhanced, Verdict.DOMAIN_LATER)


def _permanent(stage: Stage, code: int, enhanced: Enhanced | None, words: str) -> Verdict:
    if code == 556:  # RFC 7504: the domain takes no mail
        return Verdict.HARD
    if enhanced == (4, 1) and "access denied" in words:  # so Exchange says that there is no such recipient
        return Verdict.HARD
    if code == 552 and enhanced == (7, 0):  # so Gmail refuses dangerous attachments
        return Verdict.MESSAGE
    if enhanced in _PERMANENT:
        return _PERMANENT[enhanced]
    if enhanced is not None and enhanced[0] == 7:
        return Verdict.SOFT if any(word in words for word in _CLOSED) else Verdict.POLICY
    return _by_words(stage, code, words)


def _by_words(stage: Stage, code: int, words: str) -> Verdict:
    """Judge a reply whose enhanced code is absent or says little."""
    after = stage is Stage.END
    checks = (
        (_CLOSED, Verdict.SOFT),
        (_BLOCKED, Verdict.POLICY),
        (_TOO_BIG, Verdict.MESSAGE),
        (_FULL, Verdict.SOFT),
        (_UNKNOWN, Verdict.HARD),
    )
    for known, verdict in checks:
        if any(word in words for word in known):
            return verdict
    if code in _SYNTAX:
        return Verdict.SENDER
    if after:
        return Verdict.MESSAGE
    return {551: Verdict.HARD, 553: Verdict.HARD, 554: Verdict.POLICY}.get(code, Verdict.SOFT)
