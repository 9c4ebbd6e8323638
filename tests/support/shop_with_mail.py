"""A shop's own application, which hosts bulk mail below a prefix of its own."""

from fastapi import FastAPI

from celeriac import Celeriac, Settings
from celeriac.families.email import EmailFamily, EmailSettings


def create(settings: Settings | None = None, mail: EmailSettings | None = None) -> tuple[Celeriac, FastAPI]:
    app = Celeriac("shop", settings=settings)
    email = app.include_family(EmailFamily, mail)
    api = FastAPI(lifespan=app.lifespan)
    api.include_router(app.router(), prefix="/internal/jobs")
    api.include_router(email.router(), prefix="/internal/letters")
    return app, api


app, _ = create()
