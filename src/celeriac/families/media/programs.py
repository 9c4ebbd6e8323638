"""Finds the programs that convert: the system's own first."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from celeriac.core import extras
from celeriac.families.media.errors import ConverterMissing
from celeriac.families.media.settings import MediaSettings

_PLACES = ("/usr/bin/soffice", "/usr/lib/libreoffice/program/soffice", "/opt/libreoffice/program/soffice")


def ffmpeg(own: MediaSettings) -> str:
    """The path of ffmpeg: the one that is set, else the system's, else that of the extra.

    Raises:
        ConverterMissing: there is none. The message names both ways to get one.
    """
    if own.media_ffmpeg:
        return _given(own.media_ffmpeg, "CELERIAC_MEDIA_FFMPEG")
    if (found := shutil.which("ffmpeg")) is not None:
        return str(Path(found).absolute())
    if find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        try:
            return str(Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute())
        except RuntimeError:  # the package was built without one for this platform
            pass
    raise ConverterMissing(
        "no ffmpeg is there: install the system's (apt install ffmpeg, brew install ffmpeg), or "
        f"{extras.advice('celeriac[ffmpeg]')}; CELERIAC_MEDIA_FFMPEG names one at another path"
    )


def soffice(own: MediaSettings) -> str:
    """The path of LibreOffice.

    Raises:
        ConverterMissing: there is none.
    """
    if own.media_soffice:
        return _given(own.media_soffice, "CELERIAC_MEDIA_SOFFICE")
    for found in (shutil.which("soffice"), *_PLACES):
        if found is not None and Path(found).exists():
            return str(Path(found).absolute())
    raise ConverterMissing(
        "office documents need LibreOffice, which is not there: install it (apt install libreoffice, "
        "brew install libreoffice), or name its soffice with CELERIAC_MEDIA_SOFFICE"
    )


def _given(path: str, setting: str) -> str:
    found = shutil.which(path)
    if found is None:
        raise ConverterMissing(f"{setting}={path}: there is no such program")
    return str(Path(found).absolute())
