"""Conversions: videos, sounds, images and documents into the formats that people can open, by presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from celeriac.core.findings import Finding
from celeriac.families.media.settings import MediaSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.demo import Demo

__all__ = ["MediaFamily", "MediaSettings"]


class MediaFamily(JobFamily):
    """The family of conversions, as entry points name it. It imports its extra's packages only when they are used."""

    name = "media"
    summary = "Conversions of videos, sounds, images and documents, by presets"
    extra = "celeriac[media]"
    requires = ("av", "PIL", "obstore", "markdown_it", "pypdfium2", "typst")
    settings_class: ClassVar[type[FamilySettings]] = MediaSettings

    def __init__(self, host: Host) -> None:
        from celeriac.families.media.jobs import register

        self.host = host
        self.settings = cast(MediaSettings, host.own)
        self.jobs = register(host, self.settings)

    @classmethod
    def commands(cls) -> Typer:
        from celeriac.families.media.cli import media

        return media

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        from celeriac.families.media.checks import check_programs

        return await check_programs(own)

    @classmethod
    def demo(cls) -> type[Demo]:
        from celeriac.families.media.demo import MediaDemo

        return MediaDemo

    def router(self, **options: Any) -> APIRouter:
        from celeriac.families.media.api import create_media_router

        return create_media_router(self.host, self.jobs, **options)
