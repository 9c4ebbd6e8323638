"""Presets: the built-in ones, own ones by settings, and values in their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.families.media import MediaSettings
from celeriac.families.media.conversion import stem_of
from celeriac.families.media.errors import PresetInvalid
from celeriac.families.media.presets import (
    BUILT_IN,
    TAKES,
    HlsPreset,
    ImagePreset,
    PresetChoice,
    VideoPreset,
    choose,
    suffix,
)
from celeriac.settings import read

OWN = {"tiny": {"kind": "video", "max_height": 144, "crf": 30}, "icon": {"kind": "image", "format": "png", "width": 64}}


def test_every_built_in_preset_takes_something_and_makes_a_file_of_its_own() -> None:
    chosen = choose(list(BUILT_IN), {})
    assert len({suffix(one) for one in chosen}) == len(BUILT_IN)
    assert all(TAKES[one.preset.kind] for one in chosen)
    assert {one.name: suffix(one) for one in chosen if one.name in ("mp4", "hls", "thumbnail", "webm-av1", "jpeg")} == {
        **{"mp4": ".mp4", "hls": ".m3u8", "thumbnail": "-thumbnail.jpg", "webm-av1": "-webm-av1.webm", "jpeg": ".jpg"}
    }


def test_values_in_place_of_a_presets_own() -> None:
    (chosen,) = choose([PresetChoice.model_validate({"name": "webp", "width": 300, "crop": True})], {})
    assert chosen.preset == ImagePreset(width=300, crop=True)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ([{"name": "nope"}], "there is no preset 'nope'; there are mp4, "),
        ([{"name": "mp4", "crf": 64}], "crf: Input should be less than or equal to 63"),
        ([{"name": "mp4", "arguments": "-i /etc/passwd"}], "arguments: Extra inputs are not permitted"),
        ([{"name": "mp4", "kind": "image"}], "has a kind already"),
        ([{"name": "mp4", "codec": "h264; rm"}], "codec: Input should be"),
        ([{"name": "mp4"}, {"name": "mp4", "crf": 30}], "would make the same file"),
        ([{"name": "hls", "heights": [720]}], "heights: Tuple should have at least 2 items"),
        ([{"name": "hls", "heights": [1, 2, 3, 4, 5, 6]}], "heights"),
        ([{"name": "webm", "codec": "h264"}], "codec: WebM has vp9 or av1"),
        ([{"name": "mp4", "container": "webm"}], "codec: WebM has vp9 or av1"),
        ([{"name": "opus", "bitrate": 200_000_000}], "bitrate: Input should be less than or equal to 320000"),
        ([{"name": "opus", "bitrate": 320_000}], "bitrate: Opus has 256000"),
        ([{"name": "webm", "audio_bitrate": 320_000}], "audio_bitrate: Opus has 256000"),
    ],
)
def test_what_a_preset_cannot_be(wanted: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(PresetInvalid) as caught:
        choose([PresetChoice.model_validate(one) for one in wanted], {})
    assert told in str(caught.value)
    assert caught.value.faults[0]["loc"][0] == "presets"


def test_a_preset_never_replaces_a_rendition_of_a_ladder() -> None:
    own = {"hls-96p": VideoPreset(), "hls-small": VideoPreset(), "a": HlsPreset(), "a-360p": HlsPreset()}
    for wanted in (["hls", "hls-96p"], ["hls-96p", "hls"], ["a", "a-360p"]):
        with pytest.raises(PresetInvalid, match="would make the same file"):
            choose(list(wanted), own)
    assert len(choose(["hls", "hls-small", "a"], own)) == 3


def test_a_video_is_no_webm_of_h264_in_code_either() -> None:
    with pytest.raises(ValueError, match="WebM has vp9 or av1"):
        VideoPreset(container="webm")


def test_own_presets_come_from_json_or_a_file_or_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELERIAC_MEDIA_PRESETS", json.dumps(OWN))
    from_json = read(MediaSettings).media_presets
    file = tmp_path / "presets.toml"
    file.write_text(
        '[tiny]\nkind = "video"\nmax_height = 144\ncrf = 30\n[icon]\nkind = "image"\nformat = "png"\nwidth = 64\n'
    )
    monkeypatch.setenv("CELERIAC_MEDIA_PRESETS", str(file))
    from_toml = read(MediaSettings).media_presets
    monkeypatch.delenv("CELERIAC_MEDIA_PRESETS")
    from_code = MediaSettings(
        media_presets={"tiny": VideoPreset(max_height=144, crf=30), "icon": ImagePreset(format="png", width=64)}
    ).media_presets
    assert from_json == from_toml == from_code
    (chosen,) = choose(["tiny"], from_code)
    assert suffix(chosen) == "-tiny.mp4"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{", "expected JSON"),
        ("/nowhere/presets.toml", "expected JSON, or a TOML or JSON file"),
        ('{"Tiny": {"kind": "video"}}', "a name has 1 to 40"),
        ('{"a/b": {"kind": "video"}}', "a name has 1 to 40"),
        ('{"tiny": {"kind": "vidio"}}', "vidio"),
        ('{"tiny": {"kind": "video", "arguments": "-x"}}', "Extra inputs"),
    ],
)
def test_wrong_presets_stop_the_start(monkeypatch: pytest.MonkeyPatch, value: str, told: str) -> None:
    monkeypatch.setenv("CELERIAC_MEDIA_PRESETS", value)
    with pytest.raises(ConfigurationError, match="CELERIAC_MEDIA_PRESETS") as caught:
        read(MediaSettings)
    assert told in str(caught.value)


@pytest.mark.parametrize("folder", ["../x", "a//b", "artifacts", "uploads/files", "."])
def test_the_library_is_a_folder_of_ones_own(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("CELERIAC_MEDIA_LIBRARY", folder)
    with pytest.raises(ConfigurationError, match="CELERIAC_MEDIA_LIBRARY"):
        read(MediaSettings)


def test_names_of_outputs_begin_as_the_source_does() -> None:
    assert [stem_of(name) for name in ("a.mp4", "a.b.mov", "noend", "ü" * 100 + ".mp4")] == [
        *("a", "a.b", "noend", "ü" * 60),
    ]
