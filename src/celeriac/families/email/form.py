"""Reads a submitted mailing: a form with a CSV file, or JSON."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, BinaryIO, TypeVar, cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from starlette.datastructures import UploadFile

from celeriac.families.email.address import MAX_SENDER, parse_sender
from celeriac.families.email.addresses import Duplicates
from celeriac.families.email.attachments import MOST, AttachmentChoice
from celeriac.families.email.content import Texts
from celeriac.families.email.message import MAX_UNFOLDED
from celeriac.families.email.recipients import CsvRecipients, JsonRecipients
from celeriac.families.email.submission import Submission
from celeriac.families.email.suppression import LIST_NAME
from celeriac.families.email.templates import MAX_SOURCE
from celeriac.families.email.utf8_form import invalid_field, utf8_form
from celeriac.http.problems import ProblemError
from celeriac.http.route import BodyTooLarge

#: A mailing may be planned that long in advance.
_LATEST = timedelta(days=366)
#: So late may a request be repeated. What is earlier is a slip, such as a wrong year, and must not send at once.
_EARLIEST = timedelta(hours=1)

_LINK = "<(?i:https?://|mailto:)[!-;=?-~]+>"
_LIST_UNSUBSCRIBE = re.compile(f"{_LINK}(?: *, *{_LINK})*")
_EXPECTED_LINKS = "must be a list of <https://…>, <http://…> or <mailto:…>, separated by commas (RFC 2369)"


def _has(field: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"type": "string"}}}


#: The name of an inline image: what stands behind `cid:`.
ImageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@+\-]{0,63}$")]


class OwnStopAt(BaseModel):
    """When a mailing stops by itself. What it does not name is as the settings say."""

    model_config = ConfigDict(extra="forbid")

    hard: float | None = Field(default=None, ge=0, le=100, description="Percent of recipients that do not exist")
    soft: float | None = Field(default=None, ge=0, le=100, description="Percent of recipients that fail otherwise")
    floor: int | None = Field(default=None, ge=1, description="Recipients with an outcome, before the rates count")


class MailingText(BaseModel):
    """The part of a mailing that all its recipients share."""

    model_config = ConfigDict(
        extra="forbid", title="Mailing", json_schema_extra={"anyOf": [_has("text"), _has("html"), _has("mjml")]}
    )

    subject: str = Field(min_length=1, max_length=MAX_SOURCE, description="A Jinja template")
    text: str | None = Field(default=None, max_length=MAX_SOURCE, description="A Jinja template of the plain text")
    html: str | None = Field(
        default=None, max_length=MAX_SOURCE, description="A Jinja template of the HTML; values are escaped"
    )
    mjml: str | None = Field(
        default=None, max_length=MAX_SOURCE, description="A Jinja template of MJML, which becomes the HTML"
    )
    inline_css: bool = Field(default=True, description="Whether to write the CSS of <style> into style attributes, too")
    sender: str | None = Field(
        default=None,
        max_length=MAX_SENDER,
        description="`address` or `Name <address>`; the default is CELERIAC_MAIL_FROM",
    )
    list_unsubscribe: str | None = Field(
        default=None,
        max_length=MAX_UNFOLDED,
        description="The List-Unsubscribe header (RFC 2369): `<https://…>`, `<http://…>` or `<mailto:…>`, separated by "
        "commas. It replaces Celeriac's own one-click link",
    )
    list_name: str | None = Field(
        default=None,
        pattern=LIST_NAME,
        description="The list that it belongs to. Whoever has unsubscribed from this list gets no mail",
    )
    draft: bool = Field(default=False, description="Send nothing before somebody starts the mailing")
    send_at: AwareDatetime | None = Field(default=None, description="When it starts; the default is at once")
    not_after: AwareDatetime | None = Field(
        default=None,
        description="From then on nothing is sent. By default, a mailing of which nothing was sent for "
        "CELERIAC_MAIL_IDLE_HOURS does not go on by itself",
    )
    stop_at: OwnStopAt | None = Field(
        default=None,
        description="Rates of failures at which it stops by itself: `hard`, `soft`, `floor`; in a form, as JSON",
    )
    attachments: list[AttachmentChoice] = Field(
        default_factory=list[AttachmentChoice], max_length=MOST, description="Files of jobs; in a form, as JSON"
    )
    inline_images: dict[ImageName, AttachmentChoice] = Field(
        default_factory=dict[str, AttachmentChoice],
        max_length=MOST,
        description="Files of jobs that the HTML shows as cid:NAME, by these names; in a form, as JSON",
    )
    duplicates: Duplicates = Field(
        default=Duplicates.REFUSE,
        description="Rows with the address of an earlier row: `refuse` the mailing, send the `first` of them, or `all`",
    )

    @field_validator("attachments", "inline_images", "stop_at", mode="before")
    @classmethod
    def _of_a_form(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            if info.field_name == "stop_at":
                raise ValueError("expected JSON: an object with `hard`, `soft` or `floor`") from None
            raise ValueError("expected JSON: a list (images: an object) of objects with `job` and `name`") from None

    @field_validator("mjml")
    @classmethod
    def _or_html(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("html") is not None:
            raise ValueError("becomes the HTML; leave out `html`")
        return value

    @model_validator(mode="after")
    def _in_time(self) -> MailingText:
        begins = max(self.send_at or datetime.now(UTC), datetime.now(UTC))
        if self.not_after is not None and self.not_after <= begins:
            raise ValueError("not_after must be later than now, and later than send_at")
        if self.send_at is not None and self.send_at > datetime.now(UTC) + _LATEST:
            raise ValueError(f"send_at must be within {_LATEST.days} days")
        if self.send_at is not None and self.send_at < datetime.now(UTC) - _EARLIEST:
            raise ValueError("send_at is more than an hour in the past; leave it out to send at once")
        return self

    @field_validator("attachments")
    @classmethod
    def _once(cls, value: list[AttachmentChoice]) -> list[AttachmentChoice]:
        if len(set(value)) < len(value):
            raise ValueError("name each file once")
        return value


class MailingJson(MailingText):
    """A mailing as JSON."""

    recipients: list[dict[str, Any]] = Field(
        description="Objects with `email`; their other members are variables of the templates",
        json_schema_extra={
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"email": {"type": "string", "format": "email"}},
                "required": ["email"],
            },
        },
    )


M = TypeVar("M", bound=MailingText)
Models = tuple[type[MailingText], type[MailingJson]]
_MAILING: Models = (MailingText, MailingJson)


@asynccontextmanager
async def read_submission(
    request: Request, *, sender: str, max_json: int, models: Models = _MAILING
) -> AsyncGenerator[Submission]:
    """Read the submission in `request`. Its file stays open inside the `async with` block.

    `sender` is the default sender. `max_json` is the longest JSON body, in bytes. `models` are for forms and JSON.

    Raises:
        RequestValidationError, ProblemError, RecipientsInvalid: name what to change.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield await _from_json(request, sender, max_json, models[1])
    elif kind == "multipart/form-data":
        async with utf8_form(request, len(models[0].model_fields)) as form:
            yield await _from_form(dict(form.multi_items()), sender, models[0])
    else:
        detail = "send multipart/form-data with a CSV file `recipients`, or application/json"
        raise ProblemError(415, "unsupported-media-type", detail)


async def _from_json(request: Request, sender: str, max_json: int, model: type[MailingJson]) -> Submission:
    body = await request.body()
    if len(body) > max_json:  # send larger lists as CSV, which a thread reads in pieces
        raise BodyTooLarge(max_json)
    return json_submission(await request.json(), hashlib.sha256(body).hexdigest(), sender, model)


def json_submission(value: Any, fingerprint: str, sender: str, model: type[MailingJson] = MailingJson) -> Submission:
    """Make a mailing of what JSON has said. `sender` is the default sender.

    Raises:
        RequestValidationError, RecipientsInvalid: name what to change.
    """
    mailing = _validated(model, value)
    return _submission(mailing, JsonRecipients(mailing.recipients, duplicates=mailing.duplicates), fingerprint, sender)


async def _from_form(fields: dict[str, Any], sender: str, model: type[MailingText]) -> Submission:
    upload = fields.pop("recipients", None)
    if not isinstance(upload, UploadFile):
        raise _missing_file()
    return await csv_submission(fields, upload.file, sender, model)


async def csv_submission(
    fields: dict[str, Any], file: BinaryIO, sender: str, model: type[MailingText] = MailingText
) -> Submission:
    """Make a mailing to the recipients in a CSV file. Keep the file open until the mailing is submitted.

    `fields` are the fields of `model`. `sender` is the default sender.

    Raises:
        RequestValidationError, RecipientsInvalid: name what to change.
    """
    mailing = _validated(model, fields)
    digest = hashlib.sha256(mailing.model_dump_json().encode())
    digest.update(await asyncio.to_thread(_digest_of, file))
    recipients = await asyncio.to_thread(CsvRecipients, file, duplicates=mailing.duplicates)
    return _submission(mailing, recipients, digest.hexdigest(), sender)


def _submission(
    mailing: MailingText, recipients: CsvRecipients | JsonRecipients, fingerprint: str, sender: str
) -> Submission:
    sender = mailing.sender or sender
    try:
        parse_sender(sender)
    except ValueError as error:
        raise invalid_field("sender", str(error)) from None
    if mailing.list_unsubscribe is not None and not _LIST_UNSUBSCRIBE.fullmatch(mailing.list_unsubscribe):
        raise invalid_field("list_unsubscribe", _EXPECTED_LINKS)
    return Submission(
        sender=sender,
        texts=Texts(
            subject=mailing.subject,
            text=mailing.text,
            html=mailing.html,
            mjml=mailing.mjml,
            inline_css=mailing.inline_css,
        ),
        list_unsubscribe=mailing.list_unsubscribe,
        list_name=mailing.list_name,
        stop_at=None if mailing.stop_at is None else mailing.stop_at.model_dump(exclude_none=True),
        attachments=mailing.attachments,
        inline_images=mailing.inline_images,
        recipients=recipients,
        fingerprint=fingerprint,
        row=getattr(mailing, "row", None),
        to=getattr(mailing, "to", None),
        draft=mailing.draft,
        send_at=mailing.send_at,
        not_after=mailing.not_after,
    )


def _validated(model: type[M], value: Any) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None


def _digest_of(file: BinaryIO) -> bytes:
    digest = hashlib.file_digest(cast(Any, file), "sha256").digest()
    file.seek(0)
    return digest


def _missing_file() -> RequestValidationError:
    return invalid_field("recipients", "a CSV file is needed here, sent as a file and not as text")
