from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import media as support
from tests.support.buckets import bucket_url, s3_server
from tests.support.media import Media

__all__ = ["bucket_url", "s3_server"]


@pytest.fixture
def media(tmp_path: Path) -> Generator[Media]:
    with support.media(tmp_path) as family:
        yield family


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def clip(clips: Path) -> Path:
    """2 s of H.264 and AAC in Matroska: not what any preset makes."""
    return support.video(clips / "clip.mkv")
