"""Videos: frames in, an MP4 with the same times out; one sentence where there is none."""

import errno
import os
import pathlib
import struct
import sys
from fractions import Fraction

import numpy as np
import pytest

from deeplab_dpc.data.image_sources import frames_of_video
from deeplab_dpc.data.video import VideoReader, VideoWriter, is_video
from deeplab_dpc.errors import UserError

RATE = Fraction(30000, 1001)  # of NTSC
TIME_BASE = Fraction(1, 30000)


def frame(grey: int) -> np.ndarray:
    return np.full((33, 47, 3), grey, np.uint8)  # odd sides, which H.264 cannot have


@pytest.fixture
def clip(tmp_path):
    pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, RATE, TIME_BASE) as writer:
        for number in range(5):
            writer.add(1001 * number, frame(50 * number))
    return path


def test_written_video_has_the_frames_and_their_rate(clip):
    with VideoReader(clip) as video:
        assert (video.rate, video.num_frames) == (RATE, 5)
        times, images = zip(*video, strict=True)
        assert [time * video.time_base for time in times] == [n / RATE for n in range(5)]
    for number, image in enumerate(images):
        assert image.shape == (34, 48, 3)
        assert np.abs(image.astype(int) - 50 * number).max() <= 4


def test_uneven_times_are_kept(tmp_path):
    pytest.importorskip("av")
    with VideoWriter(tmp_path / "a.mp4", Fraction(10), Fraction(1, 1000)) as writer:
        for time in (0, 100, 350, 360):
            writer.add(time, frame(100))
    with VideoReader(tmp_path / "a.mp4") as video:
        assert [float(time * video.time_base) for time, _ in video] == pytest.approx([0, 0.1, 0.35, 0.36], abs=1e-3)


def test_frames_are_named_by_number(clip):
    with VideoReader(clip) as video:
        pictures = list(frames_of_video(video))
    assert [picture.name for picture in pictures][::4] == ["clip/000000", "clip/000004"]
    assert pictures[3].source == f"frame 3 of {clip}"


def test_what_is_no_video_is_named(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"x\.mp4 cannot be read as a video: Invalid data"):
        VideoReader(tmp_path / "x.mp4")


def test_without_pyav_its_installation_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"Videos need PyAV, which is not installed; pip install .*\[video\]'\.$"):
        VideoReader(tmp_path / "x.mp4")


def test_videos_are_known_by_their_endings():
    assert is_video("a/B.MP4")
    assert is_video("x.gif")
    assert not is_video("x.jpg")


def test_video_of_a_phone_held_upright_is_turned(clip):
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # of a track header of version 0 (ISO 14496-12, 8.3.2)
    one = 1 << 16
    assert struct.unpack_from(">9i", data, matrix)[:5] == (one, 0, 0, 0, one)
    struct.pack_into(">9i", data, matrix, 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)  # a quarter clockwise
    clip.write_bytes(data)
    with VideoReader(clip) as video:
        assert next(iter(video))[1].shape == (48, 34, 3)


def test_metadata_that_are_no_text_do_not_matter(clip):
    """Old cameras write their names in the encoding of their country."""
    name = b"Stra\xdfe"
    data = clip.read_bytes()
    title = struct.pack(">I4sI4sII", 24 + len(name), b"\xa9nam", 16 + len(name), b"data", 1, 0) + name
    items = struct.pack(">I4s", 8 + len(title), b"ilst") + title
    handler = struct.pack(">I4s8x4s12xx", 33, b"hdlr", b"mdir")
    meta = struct.pack(">I4s4x", 12 + len(handler) + len(items), b"meta") + handler + items
    user = struct.pack(">I4s", 8 + len(meta), b"udta") + meta
    place = data.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", data, place)
    assert place + size == len(data)  # so that no offset of a frame changes
    box = struct.pack(">I", size + len(user)) + data[place + 4 :] + user
    clip.write_bytes(data[:place] + box)
    with VideoReader(clip) as video:
        read = "".join(video._container.metadata.values())
        assert "\N{REPLACEMENT CHARACTER}" in read or "\udcdf" in read  # by PyAV before 19, and from 19 on
        assert len(list(video)) == 5


@pytest.mark.parametrize("name", ["http:clip.mp4", "set[1]%d.mp4", os.fsdecode(b"stra\xdfe.mp4"), "two\nlines.mp4"])
def test_names_of_any_kind_are_names_of_files(clip, monkeypatch, name):
    monkeypatch.chdir(clip.parent)
    pixels = frame(100)
    with VideoWriter(pathlib.Path(name), RATE, TIME_BASE) as writer:
        writer.add(0, pixels)
    with VideoReader(pathlib.Path(name)) as video:
        assert len(list(video)) == 1


def test_full_disk_is_an_error_of_the_system(clip, monkeypatch):
    """The commands turn an OSError into a sentence, but not FFmpeg's own error."""

    def write():
        with VideoWriter(pathlib.Path("/dev/full"), RATE, TIME_BASE) as writer:
            for number in range(200):
                writer.add(1001 * number, np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8))

    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert caught.value.errno == errno.ENOSPC


def test_video_without_frames_is_refused(clip):
    data = clip.read_bytes()
    place = data.index(b"mdat") + 4
    clip.write_bytes(data[:place] + bytes(data.index(b"moov") - 4 - place) + data[data.index(b"moov") - 4 :])

    def read():
        with VideoReader(clip) as video:
            list(video)

    with pytest.raises(UserError, match=r"clip\.mp4 (holds no frame that can be read|cannot be read after frame 0)"):
        read()
