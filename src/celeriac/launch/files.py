"""Small files that only their owner may read, such as the address and password of the embedded broker."""

from __future__ import annotations

import os
from pathlib import Path

from celeriac.core.errors import ConfigurationError


def private_directory(path: Path) -> Path:
    """Create a directory for its owner only, parents included; an existing one keeps its mode.

    Raises:
        ConfigurationError: it cannot be created or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"CELERIAC_DATA_DIR: cannot create {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"CELERIAC_DATA_DIR: {path} is not writable")
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; its mode is 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
