"""Which versions the tests run with: the oldest supported ones lack what newer ones have."""

from __future__ import annotations

import celery
import kombu


def _minor(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


CELERY = _minor(celery.__version__)
KOMBU = _minor(kombu.__version__)
