"""What comes of a report: its result, as the job returns it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ReportFile(BaseModel):
    """A file of a report. It is an artifact of the report's job."""

    format: str
    name: str
    size: int = Field(description="In bytes")
    sha256: str
    pages: int | None = Field(description="Of a PDF")
    reused: bool = Field(description="Whether an earlier report made it, of the same data in the same way")
    link: str | None = Field(description="A link that expires, if CELERIAC_REPORTS_LINK_URL is set")


class ReportOutcome(BaseModel):
    """What came of a report."""

    id: str
    rows: int
    files: list[ReportFile]
    preview: str | None = Field(description="The artifact with a picture of the first page")
    warnings: list[str] = Field(
        default_factory=list, description="What a file does not show as it should, such as letters that no font has"
    )
    data_sha256: str
    source: dict[str, str] = Field(description="What was found out about the source: of a CSV file, its delimiter")
    seconds: float
    peak_mb: float = Field(description="The most memory that its process has used, in megabytes")


#: An outcome to check a job with that is to get one.
EXAMPLE = ReportOutcome(
    id="",
    rows=0,
    files=[ReportFile(format="pdf", name="report.pdf", size=0, sha256="", pages=1, reused=False, link=None)],
    preview=None,
    warnings=[],
    data_sha256="",
    source={},
    seconds=0,
    peak_mb=0,
)
