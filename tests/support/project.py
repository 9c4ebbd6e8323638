"""What pyproject.toml says of Celeriac's dependencies."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from typing import Any

from tests.support.workers import ROOT


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lower_bounds() -> dict[str, str]:
    """The oldest version that Celeriac accepts of each direct dependency of the base and of its extras."""
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    return dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(chain(*groups)), re.MULTILINE))
