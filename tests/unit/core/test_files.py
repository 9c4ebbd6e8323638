"""The data directory: what is ours in it is for its owner only, whatever it was before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.core.files import keep_private, ours_in, private_directory, touch_private, write_private


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    assert _mode(private_directory(tmp_path / "new")) == 0o700


@pytest.mark.parametrize("before", [0o777, 0o775, 0o755, 0o700])
def test_an_existing_directory_is_for_its_owner_only(tmp_path: Path, before: int) -> None:
    (tmp_path / "celeriac.db").touch()
    tmp_path.chmod(before)
    private_directory(tmp_path)
    assert _mode(tmp_path) == 0o700


@pytest.mark.parametrize(("before", "after"), [(0o777, 0o755), (0o775, 0o755), (0o755, 0o755), (0o700, 0o700)])
def test_nobody_else_may_write_to_a_directory_that_has_other_things_too(
    tmp_path: Path, before: int, after: int
) -> None:
    (tmp_path / "package.json").touch()
    tmp_path.chmod(before)
    private_directory(tmp_path)
    assert _mode(tmp_path) == after


def test_a_directory_that_is_not_there_is_made_only_where_it_is_needed(tmp_path: Path) -> None:
    keep_private(tmp_path / "data")
    assert not (tmp_path / "data").exists()
    tmp_path.chmod(0o777)
    keep_private(tmp_path)
    assert _mode(tmp_path) == 0o777  # there is nothing of ours in it: it may be a shared, empty volume
    (tmp_path / "celeriac.db").touch()
    keep_private(tmp_path)
    assert _mode(tmp_path) == 0o700


def test_what_is_ours_in_it_becomes_private_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "valkey" / "appendonlydir").mkdir(parents=True)
    ours = ("celeriac.db", "celeriac.db-wal", "beat-schedule", "broker.json", "valkey/appendonlydir/a.incr.aof")
    for name in (*ours, "users.json"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    private_directory(tmp_path)
    assert {name: _mode(tmp_path / name) for name in ours} == dict.fromkeys(ours, 0o600)
    assert _mode(tmp_path / "valkey") == _mode(tmp_path / "valkey" / "appendonlydir") == 0o700
    assert _mode(tmp_path / "users.json") == 0o644


def test_a_link_is_left_alone(tmp_path: Path) -> None:
    directory, target = tmp_path / "data", tmp_path / "target"
    directory.mkdir()
    target.touch()
    target.chmod(0o644)
    (directory / "celeriac.db").symlink_to(target)
    private_directory(directory)
    assert _mode(target) == 0o644
    assert ours_in(directory) == []


@pytest.mark.parametrize("name", ["valkey", "celeriac.db", "valkey/appendonlydir"])
def test_a_link_that_others_may_have_put_there_is_refused(name: str, tmp_path: Path) -> None:
    directory, target = tmp_path / "data", tmp_path / "target"
    target.mkdir()
    (target / "id.pub").touch(0o644)
    (directory / name).parent.mkdir(parents=True)
    (directory / name).symlink_to(target)
    directory.chmod(0o777)
    with pytest.raises(ConfigurationError, match=f"{name} is a link, which others may have made"):
        private_directory(directory)
    assert _mode(target / "id.pub") == 0o644


def test_what_is_behind_a_link_of_the_owners_keeps_its_modes(tmp_path: Path) -> None:
    directory, target = tmp_path / "data", tmp_path / "target"
    for path in (directory, target):
        path.mkdir(mode=0o755)
    (target / "dump.rdb").touch(0o644)
    (directory / "valkey").symlink_to(target)
    private_directory(directory)
    assert (_mode(target), _mode(target / "dump.rdb")) == (0o755, 0o644)


def test_a_directory_that_all_users_share_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="is shared by all users; name a new directory in it"):
        private_directory(tmp_path)
    assert _mode(tmp_path) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_a_directory_of_another_users_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="belongs to another user, and everybody can write to it"):
        private_directory(tmp_path)


def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "a", "text")
        touch_private(tmp_path / "b")
    finally:
        os.umask(before)
    assert (_mode(tmp_path / "a"), _mode(tmp_path / "b")) == (0o600, 0o600)
