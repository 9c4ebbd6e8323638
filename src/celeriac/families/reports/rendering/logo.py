"""The logo of a report, which may be SVG or PNG."""

from __future__ import annotations

import re
import struct
from base64 import b64encode

from celeriac.families.reports.rendering.errors import LayoutInvalid

_PNG = b"\x89PNG\r\n\x1a\n"
_LOGO_AT_MOST = 2_000_000


def logo_svg(logo: bytes | None) -> str | None:
    """Return the logo as SVG.

    Raises:
        LayoutInvalid: it is no SVG or PNG picture, or too large.
    """
    if not logo:
        return None
    if len(logo) > _LOGO_AT_MOST:
        raise LayoutInvalid(f"the logo has {len(logo)} bytes: give one of at most {_LOGO_AT_MOST}")
    if logo.startswith(_PNG) and len(logo) > 24:
        width, height = struct.unpack(">II", logo[16:24])
        picture = f"data:image/png;base64,{b64encode(logo).decode()}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            f'<image width="{width}" height="{height}" href="{picture}"/></svg>'
        )
    text = logo.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if re.match(r"(<\?xml|<!--|<!DOCTYPE svg|<svg)", text) and "<svg" in text and "<!ENTITY" not in text:
        return text
    raise LayoutInvalid("the logo is neither SVG nor PNG: give `theme.logo` the bytes of such a picture")
