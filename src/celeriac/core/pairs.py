"""Settings that name several values: `name=value` separated by spaces, or an object in JSON."""

from __future__ import annotations

import json
from typing import Any


def parse_pairs(text: str, form: str) -> Any:
    """Read such a setting. `form` is how one pair looks, such as `name=url`, for the message.

    Raises:
        ValueError: a pair cannot be read, or two have one name. The message shows no value: it may be a secret.
    """
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f"expected `{form}` separated by spaces, or an object in JSON") from None
    named: dict[str, str] = {}
    for part in text.split():
        name, _, value = part.partition("=")
        if not name.isidentifier() or not value or name in named:
            raise ValueError(f"expected `{form}` separated by spaces, each with a name of its own")
        named[name] = value
    return named
