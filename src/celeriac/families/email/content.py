"""Makes the content of a mailing once, when it is submitted: MJML becomes HTML, and CSS is inlined.

Jinja stays in it, and is rendered for each mail. What cannot be done, but does not matter to the mail, is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.faults import listed
from celeriac.families.email.markup import Tag, Text, scan
from celeriac.families.email.mjml import compile_mjml
from celeriac.families.email.placeholders import Placeholders
from celeriac.families.email.sandbox import MAX_OUTPUT
from celeriac.families.email.styles import inline_css

#: Gmail hides what comes behind so many bytes of HTML.
_CLIPPED = 102 * 1024
_CID = re.compile(r"""(?:^|[\s(,'"])[cC][iI][dD]:([\w.@+-]*)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The templates of a mailing as they were submitted. `html` and `mjml` are not both given."""

    subject: str
    text: str | None = None
    html: str | None = None
    mjml: str | None = None
    inline_css: bool = True

    @property
    def markup(self) -> str | None:
        """The HTML or the MJML."""
        return self.mjml if self.mjml is not None else self.html

    @property
    def markup_name(self) -> str:
        """What errors call it."""
        return "html" if self.mjml is None else "mjml"


@dataclass(frozen=True, slots=True)
class Content:
    """The HTML template to send (None: there is none), and what is worth knowing before."""

    html: str | None
    warnings: list[str] = field(default_factory=list[str])


async def make_content(texts: Texts, images: Collection[str]) -> Content:
    """Make the HTML of a mailing. `images` are the names of its inline images.

    Raises:
        TemplateInvalid: names the template, the line and the fault.
    """
    html, only, warnings = texts.html, None, list[str]()
    if texts.mjml is not None:
        compiled = await compile_mjml(texts.mjml)
        html, only = compiled.html, compiled.inline
    if html is None:
        if images:
            raise TemplateInvalid("html", None, "is missing, and inline_images names images that it is to show")
        return Content(None)
    if texts.inline_css:
        inlined = await inline_css(html, only)
        html, warnings = inlined.html, inlined.warnings
    if len(html) > MAX_OUTPUT:
        raise TemplateInvalid(texts.markup_name, None, f"becomes more than {MAX_OUTPUT:,} characters of HTML")
    used = _images_used(html, images)
    warnings += [f"the HTML does not show the image {name!r}" for name in sorted(set(images) - used)]
    size = len(html.encode())
    if size > _CLIPPED:
        warnings.append(f"the HTML has {size:,} bytes; Gmail shows the first {_CLIPPED:,} only")
    return Content(html, warnings)


def _images_used(html: str, images: Collection[str]) -> set[str]:
    """Return the inline images that the HTML shows.

    Raises:
        TemplateInvalid: there is no image with such a name, or Jinja makes the name.
    """
    held = Placeholders("html", html)
    used: set[str] = set()
    for start, end in _places(held.text):
        for name in _CID.findall(held.text[start:end]):
            if held.prefix in name:
                raise TemplateInvalid("html", None, "write the name of an inline image behind cid: out, without Jinja")
            if name not in images:
                known = f"there are: {listed(sorted(images))}" if images else "inline_images names none"
                raise TemplateInvalid(
                    "html", None, f"shows cid:{name[:80]}, and no inline image has this name; {known}"
                )
            used.add(name)
    return used


def _places(text: str) -> list[tuple[int, int]]:
    """Return where addresses can be: the values of attributes, and CSS."""
    found: list[tuple[int, int]] = []
    for piece in scan(text):
        if isinstance(piece, Tag):
            found += [(a.value.start, a.value.end) for a in piece.attributes]
        elif isinstance(piece, Text) and piece.inside == "style":
            found.append((piece.start, piece.end))
    return found
