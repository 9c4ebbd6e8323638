"""Makes HLS ladders. Each rendition is published when it is proved, so a later run begins at the first missing one."""

from __future__ import annotations

from pathlib import Path

from celeriac.families.media import encoding, playlists
from celeriac.families.media.model import StreamFacts
from celeriac.families.media.playlists import Rendition
from celeriac.families.media.presets import HlsPreset
from celeriac.families.media.progress import Report, part, titled
from celeriac.families.media.publishing import Publisher
from celeriac.families.media.toolbox import FFMPEG, Toolbox
from celeriac.families.media.videos import picture_of


async def make_ladder(
    box: Toolbox, preset: HlsPreset, name: str, base: str, publisher: Publisher, report: Report
) -> tuple[list[str], str]:
    """Make and publish the ladder. Return the names of all files, and what was done.

    The master playlist has the name `name`. The names of the renditions begin with `base`.
    """
    stream = picture_of(box)
    heights = encoding.ladder(stream, preset.heights)
    renditions: list[Rendition] = []
    files, kept = [name], 0
    for number, height in enumerate(heights):
        playlist, media = f"{base}-{height}p.m3u8", f"{base}-{height}p.mp4"
        rendition = await _published(publisher, playlist, media)
        if rendition is None:
            share = part(report, 100 * number / len(heights), 100 * (number + 1) / len(heights))
            rendition = await _make(
                box, preset, stream, height, (playlist, media), publisher, titled(share, f"{height}p")
            )
        else:
            kept += 1
        renditions.append(rendition)
        files += [playlist, media]
    await publisher.publish_text(playlists.master(renditions), name)
    shown = ", ".join(f"{one.width} x {one.height}" for one in renditions)
    return files, f"{shown}; {kept} of them kept from an earlier run" if kept else shown


async def _published(publisher: Publisher, playlist: str, media: str) -> Rendition | None:
    """The rendition, if an earlier run has published both of its files. The playlist comes last."""
    if not {playlist, media} <= publisher.earlier:
        return None
    return playlists.noted(await publisher.text(playlist), playlist)


async def _make(
    box: Toolbox,
    preset: HlsPreset,
    stream: StreamFacts,
    height: int,
    names: tuple[str, str],
    publisher: Publisher,
    report: Report,
) -> Rendition:
    made, written = box.work / f"{height}p.mp4", box.work / f"{height}p.m3u8"
    size = encoding.size_for(stream, height)
    await box.ffmpeg(rendition_arguments(box, preset, stream, height, written), box.duration, part(report, 0, 92))
    report(92, "checking")
    found = await box.prove(made, "mov", box.ends(), box.duration, fragmented=True)
    told = written.read_text()
    peak, average = playlists.rates(told)
    codecs = ",".join(one.tag for one in found.streams if one.tag)
    rendition = Rendition(
        playlist=names[0], width=size[0], height=size[1], fps=stream.fps, codecs=codecs, peak=peak, average=average
    )
    await publisher.publish(made, names[1], part(report, 93, 100))
    await publisher.publish_text(playlists.rendition_playlist(told, names[1], rendition), names[0])
    made.unlink()  # the disk has room for one rendition at a time
    return rendition


def rendition_arguments(box: Toolbox, preset: HlsPreset, stream: StreamFacts, height: int, written: Path) -> list[str]:
    """The arguments that make one rendition: one fragmented MP4, whose segments the playlist names by byte ranges."""
    size = encoding.size_for(stream, height)
    sound = ["-an"]
    if box.facts.audio is not None:
        sound = encoding.audio_coding("mp4", preset.audio_bitrate, box.facts.audio)
    return [
        *(*FFMPEG, *box.input(), *encoding.maps(box.facts), "-vf", encoding.filters(stream, size)),
        *(*encoding.rendition_coding(preset, height, stream.fps), *sound),
        *("-f", "hls", "-hls_time", f"{preset.segment_seconds:g}", "-hls_playlist_type", "vod"),
        *("-hls_segment_type", "fmp4", "-hls_flags", "single_file+independent_segments"),
        *("-hls_segment_filename", str(written.with_suffix(".mp4")), str(written)),
    ]
