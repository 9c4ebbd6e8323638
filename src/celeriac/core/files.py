"""Keeps files and their directories private to their owner."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path

from celeriac.core.errors import ConfigurationError

#: A umask: only the owner has access to new files.
PRIVATE = 0o077
#: The write permissions of others.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: Celeriac's files in a data directory: database and its log, beat's schedule, addresses, locks, the broker's files.
_OURS = ("celeriac.db*", "beat-schedule*", "broker.json", "stack.json", "lock", "valkey")
_BELOW = ("valkey/*", "valkey/appendonlydir/*")


def private_directory(path: Path) -> Path:
    """Create a directory and its parents, and keep other users from writing to it and from reading our files in it.

    A new directory becomes private to its owner, and so does one that contains only our files. A directory with other
    content loses the write permissions of others. This refuses a directory of another user that everybody may write
    to, and one in which others may have put a link in place of our files.

    Raises:
        ConfigurationError: the directory cannot be created, written to, or made safe.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"CELERIAC_DATA_DIR: cannot create {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"CELERIAC_DATA_DIR: {path} is not writable")
    _refuse_links_of_others(path)
    _keep_others_out(path)
    for entry in ours_in(path):
        tighten(entry)
    return path


def keep_private(path: Path) -> None:
    """Make a directory safe as above if it has files of ours. Broker and database may be elsewhere."""
    if path.is_dir() and ours_in(path):
        private_directory(path)


def _refuse_links_of_others(path: Path) -> None:
    """Refuse links of other users: through them we would write to foreign files, and change their modes."""
    if not writable_for_others(path):
        return
    links = [entry for pattern in (*_OURS, *_BELOW) for entry in path.glob(pattern) if entry.is_symlink()]
    if links:
        raise ConfigurationError(
            f"CELERIAC_DATA_DIR: {links[0]} is a link, which others may have made, since they can write to {path}; "
            f"remove it, or take that permission away (chmod go-w)"
        )


def _keep_others_out(path: Path) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_ISVTX and mode & stat.S_IWOTH:  # as /tmp, which others need
        raise ConfigurationError(f"CELERIAC_DATA_DIR: {path} is shared by all users; name a new directory in it")
    if status.st_uid == os.geteuid():
        allowed = mode & ~(_OTHERS if _is_all_ours(path) else OTHERS_WRITE)
        if allowed != mode:
            path.chmod(allowed)
    elif mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"CELERIAC_DATA_DIR: {path} belongs to another user, and everybody can write to it; "
            f"take that away (chmod o-w), or name a new directory in it"
        )


def _is_all_ours(directory: Path) -> bool:
    return all(any(fnmatchcase(entry.name, name) for name in _OURS) for entry in directory.iterdir())


def ours_in(directory: Path) -> list[Path]:
    """Return Celeriac's files in a data directory. Skip links and files behind them, which a user chose."""
    found = [entry for pattern in (*_OURS, *_BELOW) for entry in directory.glob(pattern)]
    place = directory.resolve()
    return [entry for entry in found if not entry.is_symlink() and entry.parent.resolve().is_relative_to(place)]


def open_to_others(path: Path) -> bool:
    """Return whether anybody but the owner may read or write a file or directory."""
    return bool(path.stat().st_mode & _OTHERS)


def writable_for_others(path: Path) -> bool:
    """Return whether anybody but the owner may write to a directory."""
    return bool(path.stat().st_mode & OTHERS_WRITE)


def tighten(path: Path) -> None:
    """Make an existing file or directory private to its owner. Leave one of another user as it is."""
    try:
        status = path.stat()
        if status.st_uid == os.geteuid() and status.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    except FileNotFoundError:  # somebody has removed it meanwhile
        pass


def touch_private(path: Path) -> None:
    """Create an empty file for its owner only, unless it exists."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, with mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
