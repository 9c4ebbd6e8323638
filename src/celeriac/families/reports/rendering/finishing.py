"""What every PDF goes through before it counts as made: it is written, encrypted if asked for, reopened and counted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pikepdf
import pypdfium2

from celeriac.families.reports.rendering.errors import DocumentBroken, LayoutInvalid


def save(pdf: pikepdf.Pdf, path: Path, password: str | None) -> None:
    """Write the document: the same bytes for the same content, unless it is encrypted."""
    content = io.BytesIO()  # on a full disk, pikepdf would end this process
    if password is None:
        pdf.save(content, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.preserve)
    else:
        allowed = pikepdf.Permissions(
            modify_annotation=False, modify_assembly=False, modify_form=False, modify_other=False
        )
        pdf.save(content, encryption=pikepdf.Encryption(user=password, owner=password, R=6, allow=allowed))
    path.write_bytes(content.getbuffer())


def write(content: bytes, path: Path, password: str | None) -> None:
    """Write a finished PDF, encrypted if there is a password."""
    if password is None:
        path.write_bytes(content)
        return
    with pikepdf.open(io.BytesIO(content)) as pdf:
        save(pdf, path, password)


def count_pages(path: Path, password: str | None = None) -> int:
    """Reopen the PDF, read its first and last page, and return how many it has.

    Raises:
        DocumentBroken: it cannot be read.
    """
    try:
        with pypdfium2.PdfDocument(path, password=password) as document:
            pages = len(document)
            for number in {0, pages - 1}:
                cast(Any, document).get_page_size(number)
    except (pypdfium2.PdfiumError, IndexError) as error:
        raise DocumentBroken(
            f"the PDF cannot be read again ({error}): it is not published; report this as a bug"
        ) from None
    return pages


def write_preview(pdf: Path, path: Path, *, page: int, width: int, password: str | None) -> None:
    """Write a page as PNG."""
    try:
        with pypdfium2.PdfDocument(pdf, password=password) as document:
            if not 1 <= page <= len(document):
                raise LayoutInvalid(f"the PDF has no page {page}: it has {len(document)}")
            shown = document[page - 1]
            scale = max(16, min(width, 4_000)) / shown.get_width()
            cast(Any, shown).render(scale=scale).to_pil().save(path, "PNG")
            shown.close()
    except pypdfium2.PdfiumError as error:
        raise DocumentBroken(f"the PDF cannot be read ({error}): render the report again") from None
