"""Bulk mail: one mailing to thousands of recipients, each of whom gets it once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from celeriac.core.findings import Finding
from celeriac.families.email.settings import EmailSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.database.migrations import Migrations
    from celeriac.demo import Demo

__all__ = ["EmailFamily", "EmailSettings"]


class EmailFamily(JobFamily):
    """The bulk mail family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "email"
    summary = "Bulk mail from templates, with an outcome for each recipient"
    extra = "celeriac[email]"
    requires = ("aiosmtplib", "email_validator", "jinja2", "sqlalchemy", "alembic")
    settings_class: ClassVar[type[FamilySettings]] = EmailSettings

    def __init__(self, host: Host) -> None:
        from celeriac.families.email.jobs import register
        from celeriac.families.email.ledger import Ledger
        from celeriac.families.email.smtp_url import server_of

        self.host = host
        self.settings = cast(EmailSettings, host.own)
        self.jobs = register(host.app, Ledger(host.database), lambda: server_of(self.settings.smtp_url))

    @classmethod
    def migrations(cls) -> Migrations:
        from celeriac.database.migrations import Migrations

        return Migrations(cls.name, "celeriac.families.email:migrations", head="0002", former_table="celeriac_schema")

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

        return create_email_router(self.host, self.jobs, **options)
