"""Composition root of the workers: the one application, with everything that is built in."""

from __future__ import annotations

from dataclasses import dataclass

from celeriac.application import Celeriac
from celeriac.core.errors import ConfigurationError
from celeriac.database.engine import Database
from celeriac.jobs import builtin
from celeriac.jobs.email import jobs as email
from celeriac.jobs.email.ledger import Ledger
from celeriac.jobs.email.smtp_url import SmtpServer, parse_smtp_url
from celeriac.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """The built-in application and the job families that are registered on it."""

    app: Celeriac
    email: email.EmailJobs


def compose(settings: Settings | None = None) -> BuiltIn:
    """Put the built-in application together. Connects to nothing yet.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    settings = settings or load_settings()
    app = Celeriac("celeriac", settings=settings)
    builtin.register(app)
    database = Database(settings.database())
    return BuiltIn(app, email.register(app, Ledger(database), lambda: smtp_server(settings)))


def create_app(settings: Settings | None = None) -> Celeriac:
    """The built-in application alone. Raises as `compose` does."""
    return compose(settings).app


def smtp_server(settings: Settings) -> SmtpServer:
    """The mail server to send with.

    Raises:
        ConfigurationError: none is set, or its URL is wrong.
    """
    if settings.smtp_url is None:
        raise ConfigurationError("mail cannot be sent: CELERIAC_SMTP_URL is not set; give it as smtp://host:port")
    return parse_smtp_url(settings.smtp_url.get_secret_value())


c_app = create_app()
