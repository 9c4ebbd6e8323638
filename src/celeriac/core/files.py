"""Files that only their owner may read, and the directories they are in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from celeriac.core.errors import ConfigurationError

#: A umask: new files are their owner's only.
PRIVATE = 0o077
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: What Celeriac has in a data directory: the database and its log, the broker's files, addresses, beat's memory, locks.
_OURS = ("celeriac.db*", "beat-schedule*", "*.json", "lock", "valkey/*", "valkey/appendonlydir/*")


def private_directory(path: Path) -> Path:
    """Make a directory, parents included, that nobody else can write to, and keep what is ours in it to ourselves.

    A new one is for its owner only. An existing one of ours loses the permission of others to write; one of somebody
    else's that everybody may write to is refused.

    Raises:
        ConfigurationError: it cannot be created, written to, or made safe.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"CELERIAC_DATA_DIR: cannot create {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"CELERIAC_DATA_DIR: {path} is not writable")
    _keep_others_out(path)
    for file in ours_in(path):
        tighten(file)
    return path


def _keep_others_out(path: Path) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_ISVTX and mode & stat.S_IWOTH:  # as /tmp, which others need
        raise ConfigurationError(f"CELERIAC_DATA_DIR: {path} is shared by all users; give a directory of its own in it")
    if status.st_uid == os.geteuid() and mode & _OTHERS_WRITE:
        path.chmod(mode & ~_OTHERS_WRITE)
    elif mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"CELERIAC_DATA_DIR: {path} belongs to another user, and everybody can write to it; "
            f"take that away (chmod o-w), or choose another directory"
        )


def ours_in(directory: Path) -> list[Path]:
    """The files of a data directory that are Celeriac's. No links: they are somebody's choice."""
    found = [file for pattern in _OURS for file in directory.glob(pattern)]
    return [file for file in found if file.is_file() and not file.is_symlink()]


def open_to_others(path: Path) -> bool:
    """Whether anybody but the owner may read or write a file."""
    return bool(path.stat().st_mode & _OTHERS)


def writable_for_others(path: Path) -> bool:
    """Whether anybody but the owner may write to a directory."""
    return bool(path.stat().st_mode & _OTHERS_WRITE)


def tighten(path: Path) -> None:
    """Make an existing file readable for its owner only; one of another user's is left as it is."""
    try:
        status = path.stat()
        if status.st_uid == os.geteuid() and status.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    except FileNotFoundError:  # it has gone meanwhile
        pass


def touch_private(path: Path) -> None:
    """Make an empty file for its owner only, unless there is one."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; its mode is 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
