import os
from pathlib import Path

import pytest

from celeriac.core.cores import available_cores

HERE = available_cores(Path("/no/such/folder"))


def test_without_a_quota_all_cores_that_the_scheduler_gives() -> None:
    assert 1 <= HERE <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", HERE), ("50000 100000", 1), ("100000 100000", 1), ("6400000 100000", min(HERE, 64)), ("?", HERE)],
)
def test_a_containers_quota_is_respected(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", HERE), ("40000", 1)])
def test_so_is_one_of_the_older_kind(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == cores
