"""What the store promises of itself, looked up in the source."""

from __future__ import annotations

import re
from pathlib import Path

from celeriac.store import keys

SOURCE = Path(keys.__file__).parents[1]


def test_only_the_module_of_keys_spells_a_key_out() -> None:
    spelled = re.compile(r"""["']f?celeriac:[a-z]""")
    files = [path for kind in ("*.py", "*.lua") for path in SOURCE.rglob(kind)]
    assert len(files) > 100
    assert [str(path) for path in files if spelled.search(path.read_text())] == []
    assert re.search(r"""["']celeriac:""", Path(keys.__file__).read_text())  # as it makes them
