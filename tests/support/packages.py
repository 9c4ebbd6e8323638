"""Packages with a job family, as an installer would leave them in a folder: put it on `PYTHONPATH`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

_METADATA = "Metadata-Version: 2.1\nName: celeriac-{name}\nVersion: 1.0\n"
_ENTRY_POINT = "[celeriac.families]\n{name} = {module}:Family\n"


def install_family(folder: Path, name: str, source: str) -> str:
    """Put the module `guest_NAME` into `folder`, whose `Family` is the family `name`. Returns the folder."""
    module = f"guest_{name}"
    (folder / f"{module}.py").write_text(dedent(source))
    about = folder / f"celeriac_{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(_METADATA.format(name=name))
    (about / "entry_points.txt").write_text(_ENTRY_POINT.format(name=name, module=module))
    return str(folder)
