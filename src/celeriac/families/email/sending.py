"""How to send to a range of a mailing's recipients, and what came of it. No I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from celeriac.families.email.domains import Domains
from celeriac.families.email.judgement import StopAt
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.quotas import Quota


@dataclass(frozen=True, slots=True)
class Attached:
    """The attachments of each message, encoded, and what bounds how many such messages are sent at a time."""

    end: bytes
    slots: AbstractAsyncContextManager[Any]


NOTHING_ATTACHED = Attached(b"", nullcontext())

OnProgress = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """The result of one run over a range.

    Attributes:
        sent: recipients the mail server accepted the mail for.
        failed: recipients given up.
        deferred: recipients of the range that are still open. Run it again later.
        held: recipients that stay open until somebody resumes the mailing.
        reason: the last reason why a recipient was deferred, or None.
        hopeless: whether another run would end the same way, because the server refuses the sender for good, or
            too many recipients fail.
        unavailable: whether the run ended because this server cannot be used; another one may take the mails.
        again_in: seconds until there may be room under the limits that ended the run; None: no limit did.
        by_domain: whether that is a limit of a recipients' domain, which another server would not change.
    """

    sent: int
    failed: int
    deferred: int
    held: int = 0
    reason: str | None
    hopeless: bool = False
    unavailable: bool = False
    again_in: float | None = None
    by_domain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How to send.

    Attributes:
        attached: what follows each message of a mailing with attachments.
        final: there will be no other run, so temporary refusals are recorded as failures, and nobody is left alone.
        domains: which recipients' domains are to be left alone; to be shared by all runs in a process.
        stop_at: the rates of failures at which the mailing stops.
        outgoing: what the mails have beside their templates, and who is left out; None: nothing, and nobody.
        quota: what all workers together may send; None: no limit.
        on_progress: called now and then, after outcomes were recorded.
    """

    attached: Attached = NOTHING_ATTACHED
    final: bool = False
    domains: Domains = field(default_factory=Domains)
    stop_at: StopAt = field(default_factory=StopAt)
    outgoing: Outgoing | None = None
    quota: Quota | None = None
    on_progress: OnProgress | None = None
