"""Playlists of HLS, and WebVTT of sprites."""

from __future__ import annotations

import m3u8

from celeriac.families.media.playlists import Rendition, master, noted, rates, rendition_playlist
from celeriac.families.media.stills import cues

WRITTEN = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:6
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="360p.mp4",BYTERANGE="1000@0"
#EXTINF:6.000000,
#EXT-X-BYTERANGE:600000@1000
360p.mp4
#EXTINF:2.000000,
#EXT-X-BYTERANGE:250000@601000
360p.mp4
#EXTINF:0.040000,
#EXT-X-BYTERANGE:90000@851000
360p.mp4
#EXT-X-ENDLIST
"""
ONE = Rendition(
    playlist="my film-360p.m3u8",
    width=640,
    height=360,
    fps=25.0,
    codecs="avc1.64001e,mp4a.40.2",
    peak=1_000_000,
    average=900_000,
)


def test_a_rendition_names_its_file_as_the_artifact_is_named() -> None:
    text = rendition_playlist(WRITTEN, "my film-360p.mp4", ONE)
    playlist = m3u8.loads(text)
    assert {segment.uri for segment in playlist.segments} == {"my%20film-360p.mp4"}
    assert playlist.segment_map[0].uri == "my%20film-360p.mp4"
    assert [segment.byterange for segment in playlist.segments] == ["600000@1000", "250000@601000", "90000@851000"]
    assert text.startswith("#EXTM3U\n") and playlist.is_endlist


def test_what_is_noted_of_a_rendition_is_read_again() -> None:
    text = rendition_playlist(WRITTEN, "a.mp4", ONE)
    assert noted(text, "my film-360p.m3u8") == ONE
    assert noted(WRITTEN, "a.m3u8") is None


def test_rates_are_those_of_whole_segments() -> None:
    peak, average = rates(WRITTEN)
    assert peak == 1_000_000  # of the second, and not of the last frame
    assert average == round(940_000 * 8 / 8.04)


def test_the_master_playlist_is_valid() -> None:
    playlist = m3u8.loads(master([ONE, ONE]))
    assert playlist.is_variant and len(playlist.playlists) == 2
    info = playlist.playlists[0].stream_info
    assert (info.bandwidth, info.average_bandwidth, info.resolution) == (1_000_000, 900_000, (640, 360))
    assert (info.codecs, info.frame_rate) == ("avc1.64001e,mp4a.40.2", 25.0)
    assert playlist.playlists[0].uri == "my%20film-360p.m3u8"


def test_cues_cover_the_video_without_gaps() -> None:
    text = cues(3, 5.0, 3612.5, 2, (160, 90), "my film.jpg")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nmy%20film.jpg#xywh=0,0,160,90\n")
    assert "00:00:10.000 --> 01:00:12.500\nmy%20film.jpg#xywh=0,90,160,90\n" in text
