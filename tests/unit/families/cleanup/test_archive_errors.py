"""Errors of archives go from process to process."""

from __future__ import annotations

import pytest

from celeriac.core.errors import CeleriacError
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused
from tests.support.family_errors import assert_survives_pickling


@pytest.mark.parametrize(
    "error", [ArchiveDamaged("x is damaged"), ArchiveRefused("no")], ids=lambda e: type(e).__name__
)
def test_each_error_survives_pickling(error: CeleriacError) -> None:
    assert_survives_pickling(error)
