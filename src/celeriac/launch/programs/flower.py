"""Safe options for Flower, which by default listens on every interface and needs no password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.core.errors import ConfigurationError
from celeriac.settings import Settings, is_loopback


@dataclass(frozen=True)
class FlowerOptions:
    """The options of Flower that Celeriac sets, under Flower's names."""

    address: str
    port: int
    basic_auth: tuple[str, ...]
    """Pairs `user:password`; each gives access. Empty on loopback unless one is set."""

    def __repr__(self) -> str:
        return f"FlowerOptions(address={self.address!r}, port={self.port})"

    def environment(self) -> dict[str, str]:
        """Return the secret options as environment variables of Flower. The others may go on a command line."""
        return {"FLOWER_BASIC_AUTH": ",".join(self.basic_auth)} if self.basic_auth else {}


def flower_options(settings: Settings, *, basic_auth: Sequence[str] = ()) -> FlowerOptions:
    """Make the options for `settings`. `basic_auth` are pairs from Flower's own command line, which win.

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
        if "," in pair:  # Flower would read it as two pairs
            raise ConfigurationError("CELERIAC_FLOWER_AUTH=***: expected one `user:password` without a comma")
        return (pair,)
    if is_loopback(settings.host):
        return ()
    return tuple(f"{name}:{secret}" for name, secret in settings.named_api_keys().items())
