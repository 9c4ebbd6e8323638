"""What a worker process does for the machine it runs on."""

import platform
import subprocess
import sys

import pytest

#: Takes 64 MiB in pieces, keeps the last one, so that the C library cannot shrink its heap, and gives them back.
_PROGRAM = """
import resource
from pathlib import Path
from celeriac.engine.process_hooks import give_back_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

pieces = [bytes(1024) for _ in range(65536)]
last = pieces.pop()
full = resident()
del pieces
freed = resident()
give_back_memory()
print(full, freed, resident())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps free memory, and gives it back if asked"
)
def test_memory_that_is_free_is_given_back() -> None:
    printed = subprocess.check_output([sys.executable, "-c", _PROGRAM], text=True)
    full, freed, trimmed = (int(number) / 2**20 for number in printed.split())
    assert freed > full - 10  # kept for later use
    assert trimmed < full - 50
