"""What pyproject.toml and uv.lock say, read once for all tests of a process."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from itertools import chain
from typing import Any

from tests.support.workers import ROOT


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def project() -> dict[str, Any]:
    return pyproject()["project"]


@cache
def locked() -> dict[str, str]:
    """The version of each distribution in uv.lock that has one."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {package["name"]: package["version"] for package in packages if "version" in package}


def lower_bounds() -> dict[str, str]:
    """The oldest version that Celeriac accepts of each direct dependency of the base and of its extras."""
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    return dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(chain(*groups)), re.MULTILINE))
