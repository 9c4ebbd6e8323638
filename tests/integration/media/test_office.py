"""Office documents through a real LibreOffice: right, side by side, and without anything that a document points at."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import zipfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image

from celeriac.families.media import MediaSettings, documents
from celeriac.families.media.errors import ConverterMissing
from celeriac.families.media.programs import soffice
from tests.support import media as support
from tests.support.media import Media
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_TYPES = f"""<Types xmlns="{_PACKAGE}/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>"""
_PICTURE = f"""<w:p><w:r><w:drawing><wp:inline xmlns:wp="{_DRAWING}/wordprocessingDrawing">
<wp:extent cx="2000000" cy="2000000"/><wp:docPr id="1" name="x"/><a:graphic xmlns:a="{_DRAWING}/main">
<a:graphicData uri="{_DRAWING}/picture"><pic:pic xmlns:pic="{_DRAWING}/picture"><pic:nvPicPr>
<pic:cNvPr id="0" name="x"/><pic:cNvPicPr/></pic:nvPicPr><pic:blipFill><a:blip r:link="rId5"/>
<a:stretch><a:fillRect/></a:stretch></pic:blipFill><pic:spPr><a:xfrm><a:off x="0" y="0"/>
<a:ext cx="2000000" cy="2000000"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/></a:prstGeom></pic:spPr></pic:pic>
</a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"""


def docx(file: Path, text: str, picture: str = "") -> Path:
    """A document, with a picture at that address if one is given."""
    link = f'<Relationship Id="rId5" Type="{_RELATIONS}/image" Target="{picture}" TargetMode="External"/>'
    paragraphs = f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>{_PICTURE if picture else ''}"
    parts = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{link if picture else ""}'
        "</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{_WORD}" xmlns:r="{_RELATIONS}"><w:body>{paragraphs}'
        "</w:body></w:document>",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


@pytest.fixture
def office(tmp_path: Path) -> Generator[Media]:
    try:
        program = Path(soffice(MediaSettings())).resolve()
    except ConverterMissing:
        pytest.skip("LibreOffice is not there: a stand-in is called in test_converting.py, and nothing real")
    if not list(program.parent.glob("libswlo*")):
        pytest.skip("LibreOffice is there without Writer")
    with support.media(tmp_path, media_slots=2) as media:
        yield media


def shown(file: Path) -> tuple[str, int]:
    """The text of the first page, and how many images it has."""
    with pypdfium2.PdfDocument(file) as document:
        page = document[0]
        images = [part for part in page.get_objects() if part.type == 3]
        return page.get_textpage().get_text_bounded().strip(), len(images)


async def test_documents_are_converted_side_by_side(office: Media, tmp_path: Path) -> None:
    letters = [docx(tmp_path / f"letter{number}.docx", f"Grüße {number}") for number in (1, 2)]
    jobs = await asyncio.gather(*(office.submit(letter, "pdf") for letter in letters))
    for number, job in enumerate(jobs, 1):
        ended = office.jobs.of(job.id)
        assert ended.error is None
        made = tmp_path / "made.pdf"
        made.write_bytes(ended.artifacts[f"letter{number}.pdf"])
        assert shown(made) == (f"Grüße {number}", 0)


async def test_nothing_that_a_document_points_at_is_read(office: Media, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (40, 40), "red").save(secret)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for picture in (secret.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/a.png"):
            await office.convert(docx(tmp_path / "pointing.docx", "before", picture), "pdf")
            assert shown(office.folder / "pointing.pdf") == ("before", 0)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()


def sockets() -> set[Path]:
    return set(Path("/tmp").glob("OSL_PIPE_*"))  # where LibreOffice makes them


async def test_libreoffice_leaves_no_socket(office: Media, tmp_path: Path) -> None:
    before = sockets()
    await office.convert(docx(tmp_path / "letter.docx", "hello"), "pdf")
    await eventually(lambda: not sockets() - before, "no socket is left, also of others that run now")


CONVERTS = """
import asyncio, sys
from pathlib import Path
from tests.support import media as support

with support.media(Path(sys.argv[1])) as media:
    asyncio.run(media.convert(Path(sys.argv[1], "letter.docx"), "pdf"))
"""


def office_processes(folder: Path) -> list[int]:
    """LibreOffice, where it works in the folder."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            program, *arguments = place.read_bytes().decode(errors="replace").split("\0")
            if program.endswith("soffice.bin") and str(folder) in " ".join(arguments):
                found.append(int(place.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
async def test_libreoffice_dies_with_a_worker_that_is_killed(office: Media, tmp_path: Path) -> None:
    docx(tmp_path / "letter.docx", "hello")
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", CONVERTS, str(tmp_path))
    (pid,) = await eventually(lambda: office_processes(tmp_path), "LibreOffice runs")
    os.kill(pid, signal.SIGSTOP)  # it cannot end by itself now
    try:
        worker.kill()
        await worker.wait()
        await eventually(lambda: not office_processes(tmp_path), "LibreOffice has died")
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        for profile in tmp_path.glob("work/*/*/work/profile"):
            documents._delete_socket(profile)  # pyright: ignore[reportPrivateUsage] (nobody else does now)
