"""Typst in this process: no files but fonts, no packages, and no memory kept from one report to the next.

A template is a stranger's program. It is not searched for what it may not do: whatever it asks for is not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typst

from celeriac.families.reports.rendering import fonts
from celeriac.families.reports.rendering.errors import TemplateFailed
from celeriac.families.reports.rendering.model import Theme
from celeriac.settings import variables_set

#: Typst drops what it has kept of a compilation once it has not been used in this many further ones.
_COMPILATIONS_KEPT = 10
#: How much data is typeset before Typst is made to drop what it has kept (bytes of JSON).
_KEPT_AT_MOST = 100_000
_kept = 0
_STANDARDS = ("a-2a", "ua-1")
_NOWHERE = "/dev/null/packages"  # nothing can be read or written below it
#: Typst asks its registry through this proxy. No program can listen on port 0, so no connection is ever opened.
_NO_NETWORK = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:0"
    ),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
}


@cache
def built_in() -> bytes:
    """Return the template of the default report."""
    return files(__package__ or "").joinpath("report.typ").read_bytes()


@cache
def _compiler(own_fonts: str | None) -> typst.Compiler:
    """None: it has no fonts at all."""
    folders = fonts.folders(Path(own_fonts) if own_fonts else None) if own_fonts is not None else []
    with TemporaryDirectory(
        prefix="celeriac-typst-"
    ) as root:  # its name is all that is needed: a template has no files
        return typst.Compiler(
            root=root,
            font_paths=folders,
            ignore_system_fonts=True,
            package_path=_NOWHERE,
            package_cache_path=_NOWHERE,
        )


def typeset(
    source: bytes, data: Mapping[str, Any], theme: Theme, *, archival: bool, tagged: bool, moment: datetime | None
) -> bytes:
    """Return the PDF that the source makes of the data.

    Raises:
        TemplateFailed: the source has an error.
    """
    told = json.dumps(data, ensure_ascii=False)
    try:
        with nullcontext() if source == built_in() else variables_set(_NO_NETWORK):
            made = _compiler(str(theme.font_folder or "")).compile(
                input=source,
                format="pdf",
                sys_inputs={"report": told},
                pdf_standards=list(_STANDARDS) if archival else [],
                timestamp=int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) if moment else 0,
                pdf_tags=tagged,
            )
        assert isinstance(made, bytes)
        return made
    except typst.TypstError as error:
        raise TemplateFailed(f"the template cannot be typeset: {_reason(error)}") from None
    finally:
        _forget(len(told))


def _reason(error: typst.TypstError) -> str:
    message = " ".join(str(error.message).split())
    if message.startswith(("package not found", "failed to download package")):
        return "packages are not fetched: put the code into the template"
    if "searched at" in message or "sandbox" in message or "project root" in message:
        return "a template has no files: put pictures and data into its text or the report's data"
    hints = "; ".join(map(str, getattr(error, "hints", ())))
    return f"{message[:300]}{f' ({hints[:200]})' if hints else ''}"


def _forget(size: int) -> None:
    """Let Typst drop what it remembers, now and then: else memory would grow by some ten reports, however large."""
    global _kept
    _kept += size
    if _kept < _KEPT_AT_MOST:
        return
    _kept = 0
    for _ in range(_COMPILATIONS_KEPT):
        _compiler(None).compile(input=b"", format="pdf")
