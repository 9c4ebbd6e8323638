"""How rendering a report may fail. Each message is one line, and names what to change.

CeleriacError
└── RenderingFailed         a report cannot be rendered as it is
    ├── LayoutInvalid       options do not fit each other, or name a column that is not there
    ├── TemplateFailed      the Typst template has an error, or asks for something that is not allowed
    ├── ChartFailed         the Vega-Lite spec cannot be drawn
    ├── TooManyRows         the format or the engine does not hold so many rows
    └── DocumentBroken      a PDF was written that cannot be read again; nothing is published
"""

from __future__ import annotations

from celeriac.core.errors import CeleriacError


class RenderingFailed(CeleriacError):
    """A report cannot be rendered as it is."""


class LayoutInvalid(RenderingFailed):
    """Options of the layout do not fit each other, or name a column that the report does not have."""


class TemplateFailed(RenderingFailed):
    """The Typst template has an error, or asks for something that is not allowed."""


class ChartFailed(RenderingFailed):
    """The Vega-Lite spec of the chart cannot be drawn."""


class TooManyRows(RenderingFailed):
    """The format, or the engine that has to write it, does not hold so many rows."""


class DocumentBroken(RenderingFailed):
    """A PDF was written that cannot be read again."""
