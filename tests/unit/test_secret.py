"""Secrets are read from the place that is named, and what is no place is not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.secret import check_place, read_secret


@pytest.mark.parametrize("place", ["", "env:", "file:", "hunter2", "vault:x", "ENV:x"])
def test_what_is_no_place_is_refused_and_not_repeated(place: str) -> None:
    with pytest.raises(ValueError, match="give the place of the secret, env:VARIABLE or file:PATH") as refused:
        check_place(place)
    assert "hunter2" not in str(refused.value)


def test_a_secret_comes_from_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "of the variable")
    (tmp_path / "token").write_text("of the file\r\n")
    assert read_secret(check_place("env:SHOP_TOKEN")) == "of the variable"
    assert read_secret(check_place(f"file:{tmp_path}/token")) == "of the file"
    assert read_secret("env:NOT_SET_ANYWHERE") == ""


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "No such file"), (b"\xff", "it is not UTF-8"), (b"x" * 20_000, "it has more than 16,384 bytes")],
)
def test_a_file_that_cannot_be_a_secret_is_named(tmp_path: Path, content: bytes | None, fault: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ValueError, match=f"{tmp_path}/token: {fault}"):
        read_secret(f"file:{tmp_path}/token")
