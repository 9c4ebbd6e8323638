"""All that an application keeps in files, put together from its settings."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from celeriac.settings import Settings
from celeriac.storage.artifacts import Artifacts, Limits, Swept
from celeriac.storage.links import Links
from celeriac.storage.location import Location
from celeriac.storage.uploads import UploadLimits, Uploads


class Storage:
    """Artifacts, uploads, and links to them, in one place. Connects when it is first used."""

    def __init__(self, settings: Settings) -> None:
        """Raises:
        ConfigurationError: `CELERIAC_STORAGE_URL` is not understood.
        """
        self._settings = settings
        self.location = Location(settings.storage(), reserve_bytes=settings.storage_reserve_bytes)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files that jobs make."""
        own = self._settings
        return Artifacts(
            self.location,
            Limits(
                file_bytes=own.max_file_bytes, job_bytes=own.max_job_artifact_bytes, job_files=own.max_job_artifacts
            ),
        )

    @cached_property
    def uploads(self) -> Uploads:
        """The files that callers send."""
        own = self._settings
        return Uploads(
            self.location,
            UploadLimits(
                file_bytes=own.max_file_bytes, owner_bytes=own.upload_quota_bytes, owner_files=own.max_uploads
            ),
        )

    @cached_property
    def links(self) -> Links:
        """Links to artifacts, for those who have no API key."""
        return Links(self.location)

    async def sweep(self) -> tuple[Swept, int]:
        """Delete what is older than the settings say, and what crashes have left: artifacts, and how many uploads."""
        own = self._settings
        retention = own.retention if own.artifact_retention is None else own.artifact_retention
        swept = await self.artifacts.sweep(timedelta(seconds=retention))
        return swept, await self.uploads.sweep(timedelta(seconds=own.upload_retention))
