"""Makes messages for open recipients within bounded time: renders the templates, assembles the MIME, and signs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from celeriac.core.interrupt import run_with_deadline
from celeriac.families.email.address import parse_sender, wire_form
from celeriac.families.email.dkim import Signer
from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.message import MessageBuilder, message_id
from celeriac.families.email.model import Mailing, OpenRecipient, PermanentFailure, TransientFailure
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.templates import MailTemplates

#: For all recipients of a chunk together. A mail takes some 0.2 ms. Most of this time is for a machine that stalls.
RENDER_TIMEOUT_S = 20.0
#: Seconds of CPU that are no burden for an event loop.
_QUICK_S = 0.005


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message for one recipient, or the reason why there is none.

    Attributes:
        sender: the address for MAIL FROM.
        to: the recipient's address in its wire form.
    """

    recipient: OpenRecipient
    sender: str
    to: str
    utf8: bool
    message_id: str
    content: bytes | PermanentFailure | TransientFailure


class Preparer:
    """A maker of one mailing's messages for some of its recipients."""

    def __init__(
        self,
        mailing: Mailing,
        outgoing: Outgoing | None = None,
        *,
        attached_end: bytes = b"",
        seconds: float = RENDER_TIMEOUT_S,
    ) -> None:
        """`attached_end` will follow each message, which is signed together with it. `seconds` bounds the time of all
        calls of `prepare` together.
        """
        self._mailing = mailing
        self._outgoing = outgoing or Outgoing(mailing)
        self._seconds_left = seconds
        self._sender = parse_sender(mailing.sender)
        self._domain = self._sender.address.rpartition("@")[2]
        self._builder = builder_of(mailing)
        self._is_quick = False
        self._signer = Signer(self._outgoing.dkim_keys, self._domain, attached_end)

    async def prepare(self, recipients: Sequence[OpenRecipient]) -> list[Prepared]:
        """Make one message for each recipient, in a thread, so that the event loop continues.

        Where straight templates have short values, a thread would take longer than the messages. So the first ones are
        made there, and the others at once, for as long as that is quick.

        A recipient whose data does not fit a template gets a `PermanentFailure`. Those that were not reached in
        time get a `TransientFailure`, since the machine may just have been busy.

        Raises:
            TemplateInvalid: a template cannot be compiled, though the submission checked that.
        """
        prepared = list[Prepared]()
        if self._is_quick and not self._outgoing.dkim_keys:
            self._prepare_into(prepared, recipients)
            return prepared
        started = time.monotonic()
        try:
            await asyncio.to_thread(
                run_with_deadline, lambda: self._prepare_into(prepared, recipients), max(0.0, self._seconds_left)
            )
        except TimeoutError:
            failure = TransientFailure(None, "the templates take too long to render")
            prepared += [self._prepared(recipient, failure) for recipient in recipients[len(prepared) :]]
        self._seconds_left -= time.monotonic() - started
        return prepared

    def _prepare_into(self, prepared: list[Prepared], recipients: Sequence[OpenRecipient]) -> None:
        mailing = self._mailing
        templates = _compiled(mailing.subject, mailing.text, mailing.html)
        began = time.thread_time()
        for recipient in recipients:
            try:
                content = self._render(templates, recipient)
            except TemplateInvalid as error:
                content = PermanentFailure(None, str(error))
            prepared.append(self._prepared(recipient, content))
        self._is_quick = templates.is_straight and time.thread_time() - began < _QUICK_S

    def _render(self, templates: MailTemplates, recipient: OpenRecipient) -> bytes:
        own = self._outgoing.variables(recipient.position)
        rendered = templates.encoded({**own, **recipient.variables, "email": recipient.address})
        message = self._builder.build(
            to=wire_form(recipient.address)[0],
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            message_id=self._message_id(recipient),
            date=datetime.now(UTC),
            headers=self._outgoing.headers(recipient.position),
        )
        return self._signer.sign(message)

    def _prepared(self, recipient: OpenRecipient, content: bytes | PermanentFailure | TransientFailure) -> Prepared:
        to, utf8 = wire_form(recipient.address)
        sender = self._outgoing.return_path(recipient.position) or self._sender.address
        return Prepared(recipient, sender, to, utf8, self._message_id(recipient), content)

    def _message_id(self, recipient: OpenRecipient) -> str:
        return recipient.message_id or message_id(self._mailing.id, recipient.position, self._domain)


def builder_of(mailing: Mailing) -> MessageBuilder:
    """Make the builder of a mailing's messages."""
    files = mailing.attachments or []
    return MessageBuilder(
        parse_sender(mailing.sender),
        mailing.list_unsubscribe,
        attached=any(not file.get("cid") for file in files),
        with_images=any(file.get("cid") for file in files),
    )


@lru_cache(maxsize=16)
def _compiled(subject: str, text: str | None, html: str | None) -> MailTemplates:
    """Compile templates, which takes as long as some hundred mails. The mailing's next chunk finds them compiled."""
    return MailTemplates(subject=subject, text=text, html=html)
