"""Errors of conversions.

CeleriacError
├── NotInstalled
│   ├── ConverterMissing        ffmpeg or LibreOffice is not there; the message says what to install
│   └── NotConfined             converters have to be confined, and this system cannot do that
├── SubmissionInvalid
│   ├── MediaRefused            the file is not converted; the message says what is wrong with it
│   └── PresetInvalid           there is no such preset, or its values do not fit
└── ConversionFailed            the converter ended with an error; the message has its last words
    ├── ConversionStalled       the converter made no progress for too long, and was ended
    ├── ConversionLimited       the converter used more time, memory or disk than it may, and was ended
    └── OutputFaulty            what was made is incomplete, and has not been published
"""

from __future__ import annotations

from celeriac.core.errors import CeleriacError, NotInstalled, SubmissionInvalid


class ConverterMissing(NotInstalled):
    """A program that converts is not there. The message names what to install, or the setting with its path."""


class NotConfined(NotInstalled):
    """Converters have to be confined (`CELERIAC_MEDIA_REQUIRE_CONFINEMENT`), and this system cannot do that."""


class MediaRefused(SubmissionInvalid):
    """The file is not converted. The message says what is wrong with it. Another try would not help."""


class PresetInvalid(SubmissionInvalid):
    """There is no preset of that name, or values of it do not fit. The message names them."""


class ConversionFailed(CeleriacError):
    """The converter ended with an error. The message has its last words."""


class ConversionStalled(ConversionFailed):
    """The converter made no progress for too long, and was ended."""


class ConversionLimited(ConversionFailed):
    """The converter used more time, memory or disk than it may, and was ended. The message names the setting."""


class OutputFaulty(ConversionFailed):
    """What the converter made is shorter than it should be, or cannot be read. It has not been published."""
