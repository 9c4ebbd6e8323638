"""`celeriac media` in a terminal: a look at a file, and the presets, without any server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from celeriac import worker
from celeriac.cli import ExitCode, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `celeriac media ARGUMENTS`: exit code, stdout and stderr."""
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CELERIAC_MEDIA_WORK_DIR", str(tmp_path / "work"))

    def call(*arguments: str) -> tuple[int, str, str]:
        vars(worker).pop("c_app", None)  # it has read the settings of another test
        monkeypatch.setattr("sys.argv", ["celeriac", "media", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.mark.slow
def test_a_look_at_a_file(run: Run, clip: Path) -> None:
    code, printed, _ = run("probe", str(clip), "--json")
    found = json.loads(printed)
    assert (code, found["category"], [stream["codec"] for stream in found["streams"]]) == (0, "video", ["h264", "aac"])
    code, printed, _ = run("probe", str(clip))
    assert "video: h264, 160 x 90, 10 fps" in printed


def test_a_broken_file_is_one_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "list.mp4"
    file.write_text("#EXTM3U\n")
    code, printed, told = run("probe", str(file))
    assert code != 0 and printed == ""
    assert "'list.mp4' cannot be converted: it is a playlist, which names other files" in told
    assert "Traceback" not in told


def test_the_presets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_MEDIA_PRESETS", '{"tiny": {"kind": "video", "max_height": 144}}')
    _, printed, _ = run("presets", "--json")
    listed = {preset["name"]: preset for preset in json.loads(printed)}
    assert listed["tiny"]["own"] and listed["tiny"]["preset"]["max_height"] == 144
    assert "thumbnail" in run("presets")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "nope"], "there is no preset 'nope'"),
        (["--preset", "mp4:{"], "expected a name, or name:"),
        (["--preset", "mp4", "--output", "x"], "--output needs --wait"),
        (["--preset", "mp4", "--wait", "--output", "/proc/celeriac"], "--output /proc/celeriac: files cannot be saved"),
        (["--preset", "mp4", "--wait", "--output", __file__], f"--output {__file__}: files cannot be saved there"),
    ],
)
def test_a_wrong_command_copies_nothing(run: Run, clip: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    code, _, errors = run("convert", str(clip), *arguments)
    assert code != ExitCode.OK and told in errors and "Traceback" not in errors, errors
    assert not (tmp_path / "storage" / "uploads").exists()
