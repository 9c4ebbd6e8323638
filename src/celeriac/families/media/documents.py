"""Makes PDFs: of Markdown and HTML with Typst, of office documents with LibreOffice."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path

from celeriac.families.media import confined, programs
from celeriac.families.media.errors import ConversionFailed, MediaRefused, OutputFaulty
from celeriac.families.media.formats import is_markup, office_suffix
from celeriac.families.media.presets import DocumentPreset
from celeriac.families.media.progress import Report
from celeriac.families.media.toolbox import Toolbox, ask
from celeriac.families.media.workspace import check_room

#: Seconds for one document: a page takes milliseconds, a workbook with many sheets minutes.
_LONGEST_S = 600.0
#: Seconds of CPU time for reading Markdown or HTML; 20 MB of usual text take a third of it.
_READING_S = 30.0
#: Where LibreOffice makes a socket, whatever `TMPDIR` says.
_SOCKETS = ("/tmp", "/var/tmp")  # noqa: S108
#: A document may name pictures and sections of other files, which would become part of the PDF.
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop>
<prop oor:name="MacroSecurityLevel" oor:op="fuse"><value>3</value></prop>
<prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop>
</item>
</oor:items>
"""


async def make_document(box: Toolbox, preset: DocumentPreset, made: Path, report: Report) -> str:
    """Make the PDF, read it again, and say how many pages it has."""
    report(5, "typesetting")
    longest = {"seconds": min(_LONGEST_S, box.limits.seconds), "cpu_s": min(int(_LONGEST_S), box.limits.cpu_s)}
    box = box.with_limits(**longest)
    lacking = ""
    if is_markup(box.source.content_type):
        request = {
            **{"path": str(box.source.path), "markdown": box.source.content_type == "text/markdown"},
            **{"paper": preset.paper, "folder": str(box.work), "made": str(made)},
            "reading_s": _READING_S,
        }
        lacking = (await box.script("typeset_document", request))["lacking"]
    else:
        await _office(box, made)
    found = await ask("count_pages", {"made": str(made)}, box.limits, box.work)
    if "fault" in found:
        raise OutputFaulty(f"what was made of {box.source.name!r} is not published: {found['fault']}")
    detail = f"{found['pages']} {'page' if found['pages'] == 1 else 'pages'}"
    if lacking:
        detail += f"; no font has {lacking!r}, which shows as a box, and maybe more"
    return detail


async def _office(box: Toolbox, made: Path) -> None:
    """Run LibreOffice with a profile of its own: without macros and extensions, and it follows no links to files."""
    command = await asyncio.to_thread(_program, box)
    profile, source = box.work / "profile", box.work / f"document.{office_suffix(box.source.content_type)}"
    await asyncio.to_thread(check_room, box.work, box.reserve_bytes + 2 * box.source.size)  # and for the PDF
    await asyncio.to_thread(shutil.copyfile, box.source.path, source)
    command_line = [
        *(command, "--headless", "--norestore", "--nologo", f"-env:UserInstallation={profile.as_uri()}"),
        *("--convert-to", "pdf", "--outdir", str(box.work), str(source)),
    ]
    await asyncio.to_thread(_write_profile, profile)
    told = await _start(command_line, box, profile)
    written = source.with_suffix(".pdf")
    if not await asyncio.to_thread(written.exists):
        raise MediaRefused(
            f"{box.source.name!r} cannot be converted: LibreOffice cannot read it: {told[-300:].strip()}"
        )
    await asyncio.to_thread(shutil.move, written, made)


async def _start(command_line: list[str], box: Toolbox, profile: Path) -> str:
    """Start LibreOffice. In a new profile it ends, to start anew, for which its old socket has to be gone."""
    for is_second in (False, True):
        try:
            _, told = await confined.run(command_line, box.limits, box.work, sockets=_SOCKETS)
            return told
        except ConversionFailed as error:
            if is_second or type(error) is not ConversionFailed:
                raise
        finally:
            await asyncio.to_thread(_delete_socket, profile)
    raise AssertionError


def _program(box: Toolbox) -> str:
    """LibreOffice itself, which dies with the worker, rather than the script that starts it; if it can be found."""
    found = programs.soffice(box.own)
    itself = Path(found).resolve().with_name("soffice.bin")
    return str(itself) if itself.exists() else found


def _write_profile(folder: Path) -> None:
    (folder / "user").mkdir(parents=True)
    (folder / "user" / "registrymodifications.xcu").write_text(_PROFILE)


def _delete_socket(profile: Path) -> None:
    """Delete the socket, which LibreOffice cannot. It has a hash of the profile's address in its name."""
    digest = hashlib.md5(profile.as_uri().encode("utf-16-le"), usedforsecurity=False).digest()
    name = "".join(f"{byte:x}" for byte in digest)
    for place in _SOCKETS:
        for left in Path(place).glob(f"OSL_PIPE_*SingleOfficeIPC_{name}"):
            left.unlink(missing_ok=True)
