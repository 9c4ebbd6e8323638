"""A version of Celery that the engine was not written for is refused before it does harm."""

from __future__ import annotations

import re

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.engine import requirements
from tests.support.project import project


@pytest.mark.parametrize("version", ["5.6.9", "5.8.0", "4.4.7", "6.0.0rc1"])
@pytest.mark.parametrize("name", ["celery", "kombu"])
def test_another_version_is_refused_with_both_versions_in_one_line(name: str, version: str) -> None:
    line = f"{name} {version} is installed, and Celeriac needs 5.7: pip install '{name}~=5.7.0'"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(line)}$"):
        requirements.check(**{name: version})


def test_the_supported_versions_are_those_that_the_package_asks_for() -> None:
    requirements.check(celery="5.7.0", kombu="5.7.12")
    asked = project()["dependencies"]
    assert {"celery[redis]>=5.7,<5.8", "kombu>=5.7,<5.8"} <= set(asked)
