"""A shop that has beat make a report each second, and mails it: attached, and as a link."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI

from celeriac import Celeriac, JobContext, Settings
from celeriac.asgi import include
from celeriac.families.email import EmailFamily, EmailSettings
from celeriac.families.reports import ReportsFamily, ReportsSettings


def create(
    settings: Settings | None = None, mail: EmailSettings | None = None, own: ReportsSettings | None = None
) -> tuple[Celeriac, FastAPI]:
    app = Celeriac("nightly", settings=settings)
    email = app.include_family(EmailFamily, mail)
    reports = app.include_family(ReportsFamily, own)

    @reports.source
    async def deliveries(country: str) -> AsyncGenerator[dict[str, Any]]:
        for number in range(1, 101):
            yield {"number": number, "country": country, "weight": number * 0.5}

    @app.job(name="nightly.mail_report")
    async def mail_report(job: JobContext, to: str, report: dict[str, Any]) -> str:
        (pdf,) = report["files"]
        mailing = {
            "subject": "Deliveries",
            "text": "Here: {{ link }}",
            "recipients": [{"email": to, "link": pdf["link"]}],
            "attachments": [{"job": report["id"], "name": pdf["name"]}],
        }
        return (await email.send(mailing, idempotency_key=job.id)).id

    then = {"task": "nightly.mail_report", "arguments": {"to": "ann@example.com"}}
    source = {"name": "deliveries", "parameters": {"country": "FR"}}
    app.schedule(
        "each second", reports.call({"source": source, "file_name": "Lieferungen März", "then": then}), every=1
    )
    api = FastAPI(lifespan=app.lifespan)
    include(api, app)
    return app, api


def __getattr__(name: str) -> Any:
    """The application as worker and beat import it."""
    if name != "app":
        raise AttributeError(name)
    app, _ = create()
    globals()["app"] = app
    return app
