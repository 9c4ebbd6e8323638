"""The check of the mail server in `celeriac doctor`."""

from __future__ import annotations

import asyncio

from celeriac.core.errors import ConfigurationError
from celeriac.core.findings import Finding, fail, ok, warn
from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.settings import EmailSettings
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import servers_of

_PATIENCE_S = 5.0  # how long the server has to greet


async def check_server(own: EmailSettings) -> Finding:
    """Report whether the mail server greets us, and accepts our login."""
    try:
        url = own.smtp_url
        if url is None:
            return warn("mail", "no mail server is set", "set CELERIAC_SMTP_URL if you want to send mail")
        servers = servers_of(url)
        for server in servers:
            async with asyncio.timeout(_PATIENCE_S), SmtpSession(server) as session:
                await session.connect()
    except ConfigurationError as error:
        return fail("mail", str(error), "correct CELERIAC_SMTP_URL")
    except MailServerUnavailable as error:
        return fail("mail", str(error), "start it, or correct CELERIAC_SMTP_URL")
    except TimeoutError:
        return fail("mail", f"no greeting within {_PATIENCE_S:g} s", "start it, or correct CELERIAC_SMTP_URL")
    return ok("mail", f"{', '.join(map(str, servers))} {'answers' if len(servers) == 1 else 'answer'}")
