"""Where fonts are: the packaged ones, and a folder of the theme.

Noto Sans covers Latin, Greek and Cyrillic, Noto Sans Arabic covers Arabic, Noto Sans JP covers Japanese. What none of
them has is shown as an empty box.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: The packaged families, in the order in which they fill in for each other.
FAMILIES = ("Noto Sans", "Noto Sans Arabic", "Noto Sans JP")
_PACKAGES = {"fontpkg_noto_sans": "files", "fontpkg_noto_sans_arabic": "files", "pylopdf_fonts_jp": ""}


@cache
def _folder(package: str) -> Path:
    spec = find_spec(package)  # the packages are not imported: they are only files
    assert spec and spec.submodule_search_locations, f"{package} is not installed"
    return Path(next(iter(spec.submodule_search_locations)), _PACKAGES[package])


def folders(own: Path | None = None) -> list[str]:
    """Return the folders that hold fonts, the theme's own first."""
    return [str(folder) for folder in (*((own,) if own else ()), *map(_folder, _PACKAGES))]


def chain(font: str) -> Sequence[str]:
    """Return the font and those that fill in what it lacks, each once."""
    return tuple(dict.fromkeys((font, *FAMILIES)))


@cache
def fingerprint(own: Path | None) -> str:
    """Return what tells one content of the theme's folder from another: its files' names and sizes."""
    files = sorted(filter(Path.is_file, own.rglob("*"))) if own else ()
    return "".join(f"{path.name}={path.stat().st_size};" for path in files)


@cache
def sans_file() -> Path:
    """Return the file of Noto Sans; its default instance is the regular weight."""
    return _folder("fontpkg_noto_sans") / "NotoSans[wdth,wght].ttf"
