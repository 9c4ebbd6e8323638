"""Secrets that a setting or a definition names by their place, `env:VARIABLE` or `file:PATH`, and never holds."""

from __future__ import annotations

from pathlib import Path

from celeriac.settings import variable

_KINDS = ("env", "file")
#: A secret of more bytes is another file, named by mistake.
_LONGEST_FILE = 16_384


def check_place(place: str) -> str:
    """Check the place of a secret, for a validator of pydantic's. Look into it only later, where it is needed.

    Raises:
        ValueError: it is no place. The message does not show it: somebody may have put the secret there.
    """
    kind, _, where = place.partition(":")
    if kind not in _KINDS or not where:
        raise ValueError("give the place of the secret, env:VARIABLE or file:PATH, and never the secret")
    return place


def read_secret(place: str) -> str:
    """Return the secret at a place, without the line end of its file; empty if its variable is not set.

    Raises:
        ValueError: there is no such file, or it is too large, or no UTF-8. The message says which.
    """
    kind, _, where = place.partition(":")
    if kind == "env":
        return variable(where)
    try:
        with Path(where).open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
        if len(content) > _LONGEST_FILE:
            raise ValueError(f"{where}: it has more than {_LONGEST_FILE:,} bytes")
        return content.decode().rstrip("\r\n")
    except UnicodeError:
        raise ValueError(f"{where}: it is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"{where}: {error.strerror}") from None
