"""Image files: found by folder and pattern, decoded the way people see them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.data import image_files
from deeplab_dpc.data.image_files import decode_image, picture_pixels
from deeplab_dpc.errors import UserError

PIXELS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 9, 9], [100, 100, 100], [255, 255, 255]]], np.uint8)


def encoded(picture: Image.Image, image_format: str, **options) -> io.BytesIO:
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    ("image_format", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_formats_without_loss_give_their_pixels(image_format, options):
    image = decode_image(encoded(Image.fromarray(PIXELS), image_format, **options), "picture")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, PIXELS)


def test_jpeg_is_turned_by_its_exif_orientation():
    halves = np.zeros((16, 32, 3), np.uint8)
    halves[:, 16:] = 200  # bright at the right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    image = decode_image(encoded(Image.fromarray(halves), "JPEG", exif=exif), "picture")
    assert image.shape == (32, 16, 3)
    assert image[:16].max() < 20
    assert image[16:].min() > 180


def test_grey_and_16_bit_grey_become_rgb():
    grey = np.array([[0, 7, 255]], np.uint8)
    assert decode_image(encoded(Image.fromarray(grey), "PNG"), "grey")[0].tolist() == [[0] * 3, [7] * 3, [255] * 3]
    deep = np.array([[0, 256 * 7 + 255, 65535]], np.uint16)
    assert decode_image(encoded(Image.fromarray(deep), "PNG"), "deep")[0].tolist() == [[0] * 3, [7] * 3, [255] * 3]


def test_transparent_pixels_lie_on_white():
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    assert decode_image(encoded(Image.fromarray(pixels), "PNG"), "p")[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    indexed.putpalette([1, 2, 3, 4, 5, 6])
    assert decode_image(encoded(indexed, "PNG", transparency=1), "p")[0].tolist() == [[1, 2, 3], [255, 255, 255]]


def test_samples_of_unknown_range_are_refused():
    with pytest.raises(UserError, match="scan.tif has samples of 32 bits, whose range is not known"):
        decode_image(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "scan.tif")


def test_too_many_pixels_are_refused_before_decoding():
    with pytest.raises(UserError, match="p cannot be read as an image: it has 2 x 3 pixels, more than 5; cut"):
        decode_image(encoded(Image.fromarray(PIXELS), "PNG"), "p", max_pixels=5)


def test_limit_of_pillow_is_a_sentence_and_its_warning_below_is_none(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)  # refused from twice as many on
    with pytest.raises(UserError, match="bomb.png cannot be read as an image: it has more than 178,956,970 pixels"):
        decode_image(encoded(Image.fromarray(PIXELS), "PNG"), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert decode_image(encoded(Image.fromarray(PIXELS), "PNG"), "large.png").shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"no image", "none of JPEG, PNG, BMP, TIFF, WEBP"),
        (encoded(Image.fromarray(PIXELS), "GIF").getvalue(), "none of JPEG"),
        (encoded(Image.fromarray(PIXELS.repeat(90, 0)), "JPEG").getvalue()[:-20], "truncated"),
    ],
)
def test_what_is_no_image_is_named(data, reason):
    with pytest.raises(UserError, match=f"x.jpg cannot be read as an image: .*{reason}"):
        decode_image(io.BytesIO(data), "x.jpg")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read as an image: .*No such file"):
        decode_image(tmp_path / "none.png", "none.png")


def test_every_flipped_bit_of_a_png_is_noticed():
    data = encoded(Image.fromarray(PIXELS), "PNG").getvalue()
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(UserError, match=r"x\.png cannot be read as an image: [^\n]*[^.]\.$"):
            decode_image(io.BytesIO(bytes(changed)), "x.png")


def test_png_whose_pixels_have_a_wrong_checksum_is_refused():
    data = encoded(Image.fromarray(PIXELS), "PNG").getvalue()
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start])
    pixels = bytearray(data[start : start + 4 + length])
    pixels[-1] ^= 1  # of the checksum of the pixels; that of the part is made right
    changed = data[:start] + pixels + zlib.crc32(pixels).to_bytes(4) + data[start + 8 + length :]
    with pytest.raises(UserError, match="x.png cannot be read as an image: (broken data stream|it is damaged)"):
        decode_image(io.BytesIO(changed), "x.png")


@pytest.mark.parametrize("video", [b"\xff\xd9\xff\xda", b"\xff\xda\xff\xd9", b"\xff\xd8\xff\xda\0\0"])
def test_motion_photo_is_its_image(video):
    data = encoded(Image.fromarray(PIXELS), "JPEG").getvalue()
    image = decode_image(io.BytesIO(data + b"\0\0\0\x18ftypmp42" + video), "motion.jpg")
    np.testing.assert_array_equal(image, decode_image(io.BytesIO(data), "still.jpg"))


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 7, 9, 12, 13, 99])
def test_orientation_of_another_type_leaves_the_image_as_it_is(kind):
    """EXIF says 3 (upside down) in a type that is not a short integer; other programs show the image as it lies."""
    data = encoded(Image.fromarray(PIXELS), "PNG").getvalue()
    entry = struct.pack("<HHII", 0x0112, kind, 1, 3) + struct.pack("<HHII", 0x011A, 99, 2**31, 2**31)
    exif = b"II*\0" + struct.pack("<IH", 8, 2) + entry + bytes(4)
    chunk = b"eXIf" + exif
    changed = data[:33] + len(exif).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + data[33:]
    image = decode_image(io.BytesIO(changed), "odd.png")
    assert image.shape == PIXELS.shape
    turned = kind in (4, 9, 13)  # long integers are understood all the same
    np.testing.assert_array_equal(image, PIXELS[::-1, ::-1] if turned else PIXELS)


def test_sides_have_a_limit_of_their_own():
    line = encoded(Image.new("L", (70_000, 1)), "PNG")
    with pytest.raises(UserError, match="it has 1 x 70000 pixels, and no side may exceed 65,535; cut it into tiles"):
        decode_image(line, "line.png")


def test_file_that_is_larger_than_any_image_is_not_read_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(image_files, "MAX_BYTES", 100)
    (tmp_path / "x.png").write_bytes(bytes(101))
    with pytest.raises(UserError, match="x.png cannot be read as an image: it has more than 100 bytes"):
        decode_image(tmp_path / "x.png", "x.png")


def interlaced_png(pixels, cut=0):
    """A PNG in seven passes, each over a finer grid; without the last `cut` bytes of its pixels."""

    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    height, width = pixels.shape[:2]
    rows = b""
    for top, left, down, across in (
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    ):
        part = pixels[top::down, left::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.shape[1] else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows[: len(rows) - cut])) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + data)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 9), (9, 1), (8, 8), (13, 17)])
def test_interlaced_png_is_whole_with_all_its_passes(rng, size):
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(decode_image(interlaced_png(pixels), "x.png"), pixels)
    with pytest.raises(UserError, match="x.png cannot be read as an image: "):
        decode_image(interlaced_png(pixels, cut=1), "x.png")


def test_picture_of_several_views_is_its_first(rng):
    """What phones and stereo cameras write: further JPEGs after the first (MPO)."""
    pixels = np.full((8, 8, 3), 200, np.uint8)
    other = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    views = encoded(Image.fromarray(pixels), "MPO", save_all=True, append_images=[other])
    np.testing.assert_allclose(decode_image(views, "x.jpg").astype(int), pixels, atol=2)


@pytest.mark.parametrize("image_format", ["TIFF", "WEBP", "PNG"])
def test_several_pages_or_frames_are_refused(image_format):
    second = Image.fromarray(255 - PIXELS)
    data = encoded(Image.fromarray(PIXELS), image_format, save_all=True, append_images=[second])
    with pytest.raises(UserError, match=r"scan cannot be .*: it has 2 pages; save each as a file of its own\.$"):
        decode_image(data, "scan")
    one = encoded(Image.fromarray(PIXELS), image_format, save_all=True, lossless=True)
    np.testing.assert_array_equal(decode_image(one, "scan"), PIXELS)


def test_main_picture_of_a_photograph_with_a_second_one_is_taken():
    pictures = [Image.new("RGB", (16, 16), (value, value, value)) for value in (200, 10)]
    data = encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:])
    assert Image.open(data).n_frames == 2
    assert (decode_image(io.BytesIO(data.getvalue()), "phone.jpg") == 200).all()


def test_empty_file_and_link_to_nothing_are_said_to_be_that(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"a\.jpg cannot be read as an image: it is empty\.$"):
        decode_image(tmp_path / "a.jpg", "a.jpg")
    (tmp_path / "b.jpg").symlink_to("/gone/b.jpg")
    with pytest.raises(UserError, match=r"image: it is a link to /gone/b\.jpg, which does not exist\.$"):
        decode_image(tmp_path / "b.jpg", "b.jpg")


def test_pictures_of_pillow_are_taken_as_files_are():
    """16 bits keep their upper 8, and the orientation turns."""
    deep = Image.fromarray((np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4))
    turned = Image.Exif()
    turned[0x0112] = 6
    grey = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    for stream in (encoded(deep, "PNG"), encoded(grey, "PNG", exif=turned)):
        from_file = decode_image(stream, "it")
        stream.seek(0)
        np.testing.assert_array_equal(picture_pixels(Image.open(stream), "it"), from_file)
    assert from_file.shape == (4, 3, 3)
    with pytest.raises(UserError, match="it has samples of 32 bits"):
        picture_pixels(Image.fromarray(np.zeros((2, 2), np.float32)), "it")
