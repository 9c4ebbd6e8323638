"""The check of webhooks in `celeriac doctor`."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network

from celeriac.core.findings import Finding, ok, warn
from celeriac.families.webhooks.settings import WebhookSettings

#: Where clouds tell machines their credentials.
_METADATA = (ip_address("169.254.169.254"), ip_address("fd00:ec2::254"))


def check_allowed(own: WebhookSettings) -> Finding:
    """Report where webhooks may go besides the public internet, and warn if credentials of this machine are there."""
    if not own.webhook_allow:
        return ok("webhooks", "delivered to public addresses only")
    for entry in own.webhook_allow:
        with suppress(ValueError):  # a host with its port: one service, which somebody has chosen
            network = ip_network(entry.strip("[]"))
            if any(address in network for address in _METADATA):
                return warn(
                    "webhooks",
                    f"CELERIAC_WEBHOOK_ALLOW={entry} has the address at which clouds tell machines their credentials",
                    "name the networks of your receivers only",
                )
    return ok("webhooks", f"delivered to public addresses, and to {', '.join(own.webhook_allow)}")
