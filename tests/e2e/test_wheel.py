"""What is installed is complete: the wheel has all that the package needs beside its modules."""

from __future__ import annotations

import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.workers import ROOT

#: A build installs its backend first.
WITHIN = 300


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [tmp_path / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    done = subprocess.run(build, capture_output=True, text=True, timeout=WITHIN)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("celeriac/")}
    source = ROOT / "src"
    files = {str(file.relative_to(source)) for file in (source / "celeriac").rglob("*") if file.is_file()}
    assert packed == {name for name in files if "__pycache__" not in name}
    kinds = {Path(name).suffix for name in packed}
    assert {".py", ".lua", ".js", ".css", ".png", ".typed"} <= kinds
    assert "celeriac/http/static/swagger-ui/swagger-ui-bundle.js" in packed
