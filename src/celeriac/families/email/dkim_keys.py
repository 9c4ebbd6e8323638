"""Reads the keys that sign mails (DKIM), as a setting names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from celeriac.core.errors import ConfigurationError, NotInstalled
from celeriac.core.extras import absent, advice
from celeriac.families.email.dkim import DkimKey

#: Smaller keys are refused by those who verify (RFC 8301, 3.2), and keys below the second are weak.
SMALLEST_RSA = 1024
GOOD_RSA = 2048
_MAX_FILE = 65_536
#: A label of the DNS, or several (RFC 6376, 3.1).
_NAMES = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_FORM = "expected selector=/path/key.pem or selector:domain=/path/key.pem, separated by commas"


def read_dkim_keys(text: str) -> list[DkimKey]:
    """Read the keys that a text names: `selector=/path/key.pem,selector:domain=/path/key.pem`.

    Raises:
        ConfigurationError: names the part that is wrong. It never has anything of a key.
        NotInstalled: the extra `dkim` is missing.
    """
    keys = [_read(part.strip()) for part in text.split(",") if part.strip()]
    places = [(key.selector.lower(), key.domain) for key in keys]
    for place in places:
        if places.count(place) > 1:
            raise ConfigurationError(f"the selector {place[0]} is there twice; each key needs its own")
    return keys


def _read(part: str) -> DkimKey:
    named, equals, path = part.partition("=")
    selector, colon, domain = named.strip().partition(":")
    if not equals or not path.strip() or not is_name(selector):
        raise ConfigurationError(f"{part[:100]!r}: {_FORM}")
    if colon and not is_name(domain):
        raise ConfigurationError(f"{part[:100]!r}: {domain[:100]!r} is not a domain in ASCII")
    if absent(("cryptography",)):
        raise NotInstalled(f"CELERIAC_MAIL_DKIM_KEYS needs cryptography: {advice('celeriac[dkim]')}")
    file = Path(path.strip())
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {str(file)!r}: {getattr(error, 'strerror', None) or error}") from None
    algorithm, bits, sign, public = _private_key(file, content)
    return DkimKey(selector, domain.lower() or None, algorithm, bits, sign, public)


def is_name(text: str) -> bool:
    """Return whether a text can be a selector, or a domain in ASCII."""
    return _NAMES.fullmatch(text) is not None


def _private_key(file: Path, content: bytes) -> tuple[str, int, Callable[[bytes], bytes], bytes]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise ConfigurationError(f"{str(file)!r} is protected by a password; give a key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{str(file)!r} is not a private key in PEM, of RSA or Ed25519") from None
    if isinstance(key, Ed25519PrivateKey):
        # RFC 8463, 3: what is signed is the hash.
        return (
            "ed25519-sha256",
            0,
            lambda data: key.sign(hashlib.sha256(data).digest()),
            key.public_key().public_bytes_raw(),
        )
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{str(file)!r} is a key of another kind; DKIM has RSA and Ed25519")
    if key.key_size < SMALLEST_RSA:
        raise ConfigurationError(
            f"{str(file)!r} is an RSA key of {key.key_size} bits, which nobody accepts; make one of {GOOD_RSA}"
        )
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "rsa-sha256", key.key_size, lambda data: key.sign(data, PKCS1v15(), SHA256()), public
