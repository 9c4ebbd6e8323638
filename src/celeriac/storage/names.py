"""Names of files that callers choose, and that stand in paths, URLs and headers."""

from __future__ import annotations

import unicodedata

from celeriac.core.errors import InvalidFileName

#: Longest name, in bytes of UTF-8: file systems take 255, and there are suffixes.
MAX_NAME_BYTES = 200
_FORBIDDEN = frozenset('/\\#%:*?"<>|')
#: Devices of Windows, on which a file of that name cannot be saved.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", *(kind + n for kind in ("com", "lpt") for n in "123456789¹²³")}
)


def checked_name(name: str) -> str:
    """Return the name in Unicode's composed form (NFC), so that one name has one spelling.

    Raises:
        InvalidFileName: it cannot be a file's name everywhere; the message says why.
    """
    composed = unicodedata.normalize("NFC", name)
    if fault := _fault(composed):
        raise InvalidFileName(f"the file name {name[:80]!r} {fault}")
    return composed


def _fault(name: str) -> str:
    if not name:
        return "is empty"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is no Unicode text"
    if length > MAX_NAME_BYTES:
        return f"has {length} bytes; {MAX_NAME_BYTES} are possible"
    if found := sorted(_FORBIDDEN.intersection(name)):
        return f"contains {' '.join(found)}, which no file name may"
    if not name.isprintable():
        return "contains characters that cannot be printed"
    if name[0] in ". " or name[-1] in ". ":
        return "begins or ends with a dot or a space"
    if name.partition(".")[0].rstrip().lower() in _DEVICES:
        return "is that of a device on Windows"
    return ""
