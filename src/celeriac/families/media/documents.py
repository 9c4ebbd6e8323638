"""Makes PDFs: of Markdown and HTML with Typst, of office documents with LibreOffice."""

from __future__ import annotations

import shutil
from pathlib import Path

from celeriac.families.media import confined, programs
from celeriac.families.media.errors import MediaRefused, OutputFaulty
from celeriac.families.media.formats import is_markup, office_suffix
from celeriac.families.media.presets import DocumentPreset
from celeriac.families.media.progress import Report
from celeriac.families.media.toolbox import Toolbox, ask

#: Seconds for one document: a page takes milliseconds, a workbook with many sheets minutes.
_LONGEST_S = 600.0


async def make_document(box: Toolbox, preset: DocumentPreset, made: Path, report: Report) -> str:
    """Make the PDF, read it again, and say how many pages it has."""
    report(5, "typesetting")
    box = box.with_limits(seconds=min(_LONGEST_S, box.limits.seconds))
    if is_markup(box.source.content_type):
        request = {
            **{"act": "make", "path": str(box.source.path), "markdown": box.source.content_type == "text/markdown"},
            **{"paper": preset.paper, "folder": str(box.work), "made": str(made)},
        }
        found = await box.script("typeset_document", request)
    else:
        await _office(box, made)
        found = await ask("typeset_document", {"act": "count", "made": str(made)}, box.limits, box.work)
        if "fault" in found:
            raise OutputFaulty(f"what was made of {box.source.name!r} is not published: {found['fault']}")
    return f"{found['pages']} {'page' if found['pages'] == 1 else 'pages'}"


async def _office(box: Toolbox, made: Path) -> None:
    """Run LibreOffice with a profile of its own: empty, so without macros and extensions. It has no network."""
    command, source = programs.soffice(box.own), box.work / f"document.{office_suffix(box.source.content_type)}"
    shutil.copyfile(box.source.path, source)
    command_line = [
        *(command, "--headless", "--norestore", "--nologo", f"-env:UserInstallation={(box.work / 'profile').as_uri()}"),
        *("--convert-to", "pdf", "--outdir", str(box.work), str(source)),
    ]
    _, told = await confined.run(command_line, box.limits, box.work)
    written = source.with_suffix(".pdf")
    if not written.exists():
        raise MediaRefused(
            f"{box.source.name!r} cannot be converted: LibreOffice cannot read it: {told[-300:].strip()}"
        )
    shutil.move(written, made)
