"""Files that only their owner may read, and the directories they are in."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path

from celeriac.core.errors import ConfigurationError

#: A umask: new files are their owner's only.
PRIVATE = 0o077
#: The permissions of others to write.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: What Celeriac has in a data directory: the database and its log, beat's memory, addresses, locks, the broker's files.
_OURS = ("celeriac.db*", "beat-schedule*", "broker.json", "stack.json", "lock", "valkey")
_BELOW = ("valkey/*", "valkey/appendonlydir/*")


def private_directory(path: Path) -> Path:
    """Make a directory, parents included, that nobody else can write to, and keep what is ours in it to ourselves.

    A new one is for its owner only. So is an existing one with nothing in it but ours. One that has other things in it
    loses the permission of others to write. One of somebody else's that everybody may write to is refused. So is one in
    which others may have put a link where something of ours belongs.

    Raises:
        ConfigurationError: it cannot be created, written to, or made safe.
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
    """The same for a directory in which there need be nothing of ours: broker and database may be elsewhere."""
    if path.is_dir() and ours_in(path):
        private_directory(path)


def _refuse_links_of_others(path: Path) -> None:
    """A link made by somebody else would have us write to, and change the modes of, files that are none of ours."""
    if not writable_for_others(path):
        return
    links = [entry for pattern in (*_OURS, *_BELOW) for entry in path.glob(pattern) if entry.is_symlink()]
    if links:
        raise ConfigurationError(
            f"CELERIAC_DATA_DIR: {links[0]} is a link, which others can have made, for they can write to {path}; "
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
    """What is Celeriac's in a data directory. No links, and nothing behind one: they are somebody's choice."""
    found = [entry for pattern in (*_OURS, *_BELOW) for entry in directory.glob(pattern)]
    place = directory.resolve()
    return [entry for entry in found if not entry.is_symlink() and entry.parent.resolve().is_relative_to(place)]


def open_to_others(path: Path) -> bool:
    """Whether anybody but the owner may read or write a file or directory."""
    return bool(path.stat().st_mode & _OTHERS)


def writable_for_others(path: Path) -> bool:
    """Whether anybody but the owner may write to a directory."""
    return bool(path.stat().st_mode & OTHERS_WRITE)


def tighten(path: Path) -> None:
    """Keep an existing file or directory to its owner; one of another user's is left as it is."""
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
