"""A job that copies an upload into an artifact, as a job does that converts a file."""

from __future__ import annotations

from celeriac import Celeriac, Job, JobContext, Settings


def create(settings: Settings | None = None) -> tuple[Celeriac, Job[[str], str]]:
    """Make the application, and its job. The settings are those of the environment, unless they are given."""
    made = Celeriac("bench", settings=settings)

    @made.job(name="copy")
    async def copy(job: JobContext, upload_id: str) -> str:
        upload = await made.storage.uploads.get(upload_id)
        async with (file := job.artifact("copy.bin")) as writer:
            async for piece in made.storage.uploads.stream(upload):
                await writer.write(piece)
        return file.artifact.sha256

    return made, copy


app, _ = create()
