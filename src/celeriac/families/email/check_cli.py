"""`celeriac email check`: looks at what the DNS says of a domain's mails."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.core.errors import CommandLineWrong
from celeriac.core.findings import Finding
from celeriac.families.email import EmailFamily
from celeriac.terminal import App, AsJson, report, run_in_family

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.families.email.authentication.examination import Examined


def check_domain(
    domain: Annotated[str, typer.Argument(help="The domain of the sender.")],
    ip: Annotated[
        list[str] | None, typer.Option(help="An address that mails leave from; repeatable. Else the mail server's.")
    ] = None,
    selector: Annotated[
        list[str] | None, typer.Option(help="A DKIM selector whose key your mail server has; repeatable.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds to wait for an answer of the DNS.")] = 5.0,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Check SPF, DKIM, DMARC, MX and reverse DNS of a sender's domain, and say what to mend.

    The exit code is 1 if receivers would refuse its mails.
    """

    async def act(_: JobApp, family: EmailFamily) -> list[Finding]:
        from celeriac.families.email.authentication.examination import examine
        from celeriac.families.email.authentication.resolver import Resolver

        mail = _examined(family, domain, ip or [], selector or [])
        return await examine(Resolver(family.settings.mail_resolver, timeout), mail)

    findings = run_in_family(app, EmailFamily, act)
    report(findings, as_json)


def _examined(family: EmailFamily, domain: str, ips: list[str], selectors: list[str]) -> Examined:
    from celeriac.families.email.authentication.examination import Examined
    from celeriac.families.email.dkim_keys import is_name
    from celeriac.families.email.smtp_url import servers_of

    for selector in selectors:
        if not is_name(selector):
            raise CommandLineWrong(f"--selector {selector[:100]!r}: a selector has letters, digits, `-` and `_`")
    try:
        addresses = [ip_address(text) for text in ips]
    except ValueError as error:
        raise CommandLineWrong(f"--ip: {error}") from None
    settings = family.settings
    return Examined(
        domain=_in_ascii(domain),
        return_path=settings.mail_bounce_address if family.stationery.tokens is not None else None,
        hosts=[server.host for server in servers_of(settings.smtp_url)] if settings.smtp_url is not None else [],
        addresses=addresses,
        keys=family.stationery.dkim_keys,
        selectors=selectors,
    )


def _in_ascii(domain: str) -> str:
    """Return a domain as the DNS has it. An address is taken for its domain."""
    from celeriac.families.email.address import parse_address, wire_form

    try:
        address, _ = wire_form(parse_address(f"postmaster@{domain.strip().rstrip('.').rpartition('@')[2]}"))
    except ValueError as error:
        raise CommandLineWrong(f"DOMAIN: {error}") from None
    return address.rpartition("@")[2].lower()
