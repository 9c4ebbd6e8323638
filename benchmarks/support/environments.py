"""Makes environments for systems that are no dependencies of the project, when they are first needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements"
HOME = ROOT / ".dev" / "bench"


class CannotInstall(Exception):
    """The environment of a system cannot be made here."""


@dataclass(frozen=True)
class Environments:
    """The interpreters of systems, each in a folder of `home`. uv makes missing ones: $UV, or the one on PATH."""

    home: Path = HOME

    def python(self, name: str | None) -> str:
        """The interpreter of a system's environment. None stands for the project's.

        Raises:
            CannotInstall: uv failed. The message is what it printed.
        """
        if name is None:
            return sys.executable
        home = self.home / name
        requirements = _REQUIREMENTS / f"{name}.txt"
        installed = home / "installed.txt"
        if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
            print(f"bench: installing {name} into {home}", file=sys.stderr)
            self._run("venv", "--clear", "--python", sys.executable, str(home))
            self._run("pip", "sync", "--python", str(home / "bin" / "python"), str(requirements))
            shutil.copyfile(requirements, installed)
        return str(home / "bin" / "python")

    def _run(self, *arguments: str) -> None:
        uv = os.environ.get("UV") or shutil.which("uv")
        if uv is None:
            raise CannotInstall("uv is needed to install what Celeriac is compared with: start ./dev bench")
        for trust in ((), ("--system-certs",)):  # the certificates that this machine trusts, if uv's own are not enough
            argv = [uv, *arguments, "--quiet", *trust]
            result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                return
        raise CannotInstall(f"uv {' '.join(arguments)}: {result.stderr.strip()}")


#: The packages whose versions are shown.
_TELLING = {
    "dramatiq",
    "taskiq",
    "taskiq-redis",
    "saq",
    "arq",
    "streaq",
    "pydocket",
    "redis",
    "coredis",
    "hiredis",
    "uvloop",
}


def versions(name: str) -> dict[str, str]:
    """The pinned versions of the shown packages in a system's environment."""
    lines = (_REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    pins = (line.partition(";")[0].strip().partition("==") for line in lines if not line.startswith("#"))
    return {package: version for package, _, version in pins if package in _TELLING}
