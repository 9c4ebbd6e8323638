"""Composes a mailing: makes its content, finds its files, and checks that recipients have what the templates need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from celeriac.core.interrupt import run_with_deadline
from celeriac.families.email.attachments import AttachmentChoice, Attachments
from celeriac.families.email.content import Texts, make_content
from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.model import Recipient
from celeriac.families.email.recipients import Recipients
from celeriac.families.email.templates import MailTemplates, Rendered

T = TypeVar("T")

#: Longest time to compile the templates, or to render one mail. Either usually takes some milliseconds.
_TEMPLATE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Composed:
    """The content of a mailing.

    Attributes:
        html: the HTML template to send, or None.
        files: what the ledger keeps of the attachments and images.
        warnings: what the sender may want to know before.
        source: the templates as they were submitted, whose lines errors name.
        final: the templates to send.
        supplied: the variables that each mail has beside those of its recipient, with values of nobody.
    """

    html: str | None
    files: list[dict[str, Any]]
    warnings: Sequence[str]
    source: MailTemplates
    final: MailTemplates
    supplied: Mapping[str, str]

    @property
    def required(self) -> frozenset[str]:
        """The variables that every recipient must have."""
        return self.source.required - self.supplied.keys()

    def check_columns(self, recipients: Recipients) -> None:
        """Check that the recipients have columns for all variables.

        Raises:
            TemplateInvalid: names those that have none.
        """
        if recipients.columns is not None:
            self.source.check_columns({*recipients.columns, *self.supplied})

    def recipients(self, recipients: Recipients) -> Iterator[Recipient]:
        """Yield the recipients after checking that the templates fit them. It takes long: call it in a thread.

        Raises:
            TemplateInvalid, RecipientsInvalid: name what to change.
        """
        self.check_columns(recipients)
        tried = False
        for recipient in recipients.read(self.required):
            if not tried:
                self.render(recipient)
                tried = True
            yield recipient

    def render(self, recipient: Recipient) -> Rendered:
        """Render one mail.

        Raises:
            TemplateInvalid: the message names the template, its line as it was submitted, and the fault.
        """
        variables = {**self.supplied, **recipient.variables, "email": recipient.address}
        if self.final is not self.source:
            _bounded(partial(self.source.render, variables))
        return _bounded(partial(self.final.render, variables))


async def compose(
    texts: Texts,
    files: Attachments,
    attachments: Sequence[AttachmentChoice],
    images: Mapping[str, AttachmentChoice],
    supplied: Mapping[str, str],
) -> Composed:
    """Make the content of a mailing, and find its files. Nothing is stored.

    Raises:
        TemplateInvalid, AttachmentInvalid: name what to change.
    """
    source = await templates_of(texts)
    content = await make_content(texts, images)
    final = source if content.html == texts.markup else await _templates(texts, content.html, "html")
    found = await files.find(attachments, images)
    return Composed(content.html, found, content.warnings, source, final, supplied)


async def templates_of(texts: Texts) -> MailTemplates:
    """Compile the templates as they were submitted.

    Raises:
        TemplateInvalid: the message names the template, the line and the fault.
    """
    return await _templates(texts, texts.markup, texts.markup_name)


async def _templates(texts: Texts, html: str | None, name: str) -> MailTemplates:
    make = partial(MailTemplates, subject=texts.subject, text=texts.text, html=html, html_name=name)
    return await asyncio.to_thread(_bounded, make)


def _bounded(work: Callable[[], T]) -> T:
    try:
        return run_with_deadline(work, _TEMPLATE_TIMEOUT_S)
    except TimeoutError:
        raise TemplateInvalid("mail", None, f"takes more than {_TEMPLATE_TIMEOUT_S:g} s for one recipient") from None
