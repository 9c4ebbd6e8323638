"""Flower's options, safe by default: Flower itself listens on every interface and asks nobody for a password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.core.errors import ConfigurationError
from celeriac.settings import Settings, is_loopback


@dataclass(frozen=True)
class FlowerOptions:
    """The options of Flower that Celeriac decides, under Flower's names."""

    address: str
    port: int
    basic_auth: tuple[str, ...]
    """Pairs `user:password`, any of which opens the door; empty on loopback unless one is set."""

    def __repr__(self) -> str:
        return f"FlowerOptions(address={self.address!r}, port={self.port})"

    def environment(self) -> dict[str, str]:
        """What is secret of them, as Flower reads it from the environment; the rest may go on a command line."""
        return {"FLOWER_BASIC_AUTH": ",".join(self.basic_auth)} if self.basic_auth else {}


def flower_options(settings: Settings, *, basic_auth: Sequence[str] = ()) -> FlowerOptions:
    """The options for `settings`; `basic_auth` are pairs given to Flower directly, which win.

    Raises:
        ConfigurationError: Flower would be open to other machines without a password.
    """
    pairs = tuple(basic_auth) or _pairs(settings)
    if not pairs and not is_loopback(settings.host):
        raise ConfigurationError(
            f"CELERIAC_HOST={settings.host} opens Flower to other machines without a password; "
            "set CELERIAC_FLOWER_AUTH=user:password or CELERIAC_API_KEYS=name:secret, or listen on 127.0.0.1"
        )
    return FlowerOptions(settings.host.strip("[]"), settings.flower_port, pairs)


def _pairs(settings: Settings) -> tuple[str, ...]:
    if settings.flower_auth is not None:
        pair = settings.flower_auth.get_secret_value()
        if "," in pair:  # Flower would take it for two pairs
            raise ConfigurationError("CELERIAC_FLOWER_AUTH=***: expected one `user:password` without a comma")
        return (pair,)
    if is_loopback(settings.host):
        return ()
    return tuple(f"{name}:{secret}" for name, secret in settings.named_api_keys().items())
