"""Bulk mail: one mailing to thousands of recipients, each of whom gets it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from celeriac.core.findings import Finding
from celeriac.families.email.settings import EmailSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.core.records import JobRecord
    from celeriac.database.migrations import Migrations
    from celeriac.demo import Demo

__all__ = ["EmailFamily", "EmailSettings"]


class EmailFamily(JobFamily):
    """The bulk mail family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "email"
    summary = "Bulk mail from templates, with an outcome for each recipient"
    extra = "celeriac[email]"
    requires = ("email_validator", "dns", "flufl", "jinja2", "sqlalchemy", "alembic")
    settings_class: ClassVar[type[FamilySettings]] = EmailSettings

    def __init__(self, host: Host) -> None:
        from celeriac.families.email.attachments import Attachments
        from celeriac.families.email.inbound.store import ComplaintLimit, FeedbackStore
        from celeriac.families.email.jobs import register
        from celeriac.families.email.judgement import StopAt
        from celeriac.families.email.ledger import Ledger
        from celeriac.families.email.quotas import parse_domain_limits
        from celeriac.families.email.servers import Servers
        from celeriac.families.email.smtp_url import server_of, servers_of
        from celeriac.families.email.stationery import stationery
        from celeriac.families.email.suppression import Suppressions
        from celeriac.families.email.trial import register_test

        self.host = host
        self.settings = cast(EmailSettings, host.own)
        self.suppressions = Suppressions(host.database)
        self.stationery = stationery(self.settings)
        limit = ComplaintLimit(self.settings.mail_complaint_rate, self.settings.mail_complaint_floor)
        self.feedback = FeedbackStore(host.database, limit)
        self.jobs = register(
            host.app,
            Ledger(host.database, idle_hours=self.settings.mail_idle_hours),
            Attachments(host.app, self.settings.mail_attachments_mb),
            lambda: server_of(self.settings.smtp_url),
            Servers(
                lambda: servers_of(self.settings.smtp_url),
                lambda: host.app.limits,
                parse_domain_limits(self.settings.mail_domain_limits),
            ),
            self.suppressions,
            self.stationery,
            StopAt(
                hard=self.settings.mail_stop_hard_percent,
                soft=self.settings.mail_stop_soft_percent,
                floor=self.settings.mail_stop_after,
            ),
        )
        self.test = register_test(host.app, self.jobs.attachments, self.jobs.server, self.stationery.dkim_keys)
        self._poll()

    def _poll(self) -> None:
        """Read the mailbox of bounces, if there is one."""
        mailbox, tokens = self.settings.mail_bounce_mailbox, self.stationery.tokens
        if mailbox is not None and tokens is not None:
            from celeriac.families.email.inbound.jobs import register
            from celeriac.families.email.inbound.mailbox import parse_mailbox_url

            place = parse_mailbox_url(mailbox.get_secret_value())
            register(self.host.app, place, self.feedback, tokens, self.settings.mail_bounce_poll)

    async def send(self, mailing: Mapping[str, Any], *, idempotency_key: str | None = None) -> JobRecord:
        """Submit a mailing, as `POST /mailings` does with JSON, and return its job's record. With the same key, it is
        submitted once: give one in a job, which may run again.

            await app.family(EmailFamily).send({"subject": "…", "text": "…", "recipients": [{"email": "…"}]})

        Raises:
            InvalidArguments, RecipientsInvalid, TemplateInvalid, AttachmentInvalid: name what to change.
            ConfigurationError: no mail server is set.
        """
        from celeriac.families.email.submission import submit_mapping

        return await submit_mapping(self.host.app.client, self.jobs, mailing, self.settings.mail_from, idempotency_key)

    @classmethod
    def migrations(cls) -> Migrations:
        from celeriac.database.migrations import Migrations

        return Migrations(cls.name, "celeriac.families.email:migrations", head="0008", former_table="celeriac_schema")

    @classmethod
    def commands(cls) -> Typer:
        from celeriac.families.email.cli import email

        return email

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        from celeriac.families.email.checks import check_server

        return [await check_server(own)]

    @classmethod
    def demo(cls) -> type[Demo]:
        from celeriac.families.email.demo import EmailDemo

        return EmailDemo

    def router(self, **options: Any) -> APIRouter:
        from celeriac.families.email.api import create_email_router
        from celeriac.families.email.inbound.api import add_inbound_routes
        from celeriac.families.email.preview_api import add_preview_routes
        from celeriac.families.email.suppression_api import add_suppression_routes

        router = create_email_router(self.host, self.jobs, **options)
        add_preview_routes(router, self)
        add_suppression_routes(router, self.suppressions)
        add_inbound_routes(router, self.feedback, self.jobs.ledger, self.stationery.tokens)
        return router

    def public_router(self, **options: Any) -> APIRouter:
        from celeriac.families.email.public_api import create_public_router

        return create_public_router(self, **options)
