"""Which image and label files are accepted, what becomes of them, and one sentence for the others."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from own_data import Source, encoded, filled, random_image, random_label, written_files
from PIL import Image, ImageOps

from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.pictures import check_ids, read_image, remap_ids
from deeplab_dpc.errors import UserError


def png(bit_depth, color_type, pixel, height=2, width=3):
    """A PNG of one pixel's bytes over and over, in modes that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    across = width * 8 // bit_depth if bit_depth < 8 else width  # a byte holds several pixels
    header = struct.pack(">IIBBBBB", across, height, bit_depth, color_type, 0, 0, 0)
    rows = zlib.compress((b"\0" + pixel * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def turned(orientation):
    """EXIF data of an orientation."""
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def declaring(data, height, width):
    """The PNG with another size in its header."""
    header = data[12:16] + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def test_rgb_files_are_kept_byte_for_byte():
    for picture_format, name in (("PNG", "png"), ("JPEG", "jpeg")):
        data = encoded(random_image(1), picture_format)
        image = read_image(data, "a")
        assert (image.data, image.image_format, image.height, image.width) == (data, name, 6, 8)


@pytest.mark.parametrize(
    ("picture_format", "options"),
    [("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "lzw"})],
)
def test_other_formats_become_png_without_loss(picture_format, options):
    image = read_image(encoded(random_image(3), picture_format, **options), "a")
    assert image.image_format == "png"
    np.testing.assert_array_equal(tf.io.decode_png(image.data), np.asarray(random_image(3)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("picture_format", ["PNG", "JPEG"])
def test_images_are_stored_as_viewers_show_them(picture_format, orientation):
    gradient = np.zeros((24, 32, 3), np.uint8)
    gradient[..., 0], gradient[..., 1] = np.linspace(0, 255, 32), np.linspace(0, 255, 24)[:, None]
    data = encoded(Image.fromarray(gradient), picture_format, exif=turned(orientation))
    image = read_image(data, "a")
    seen = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    stored = tf.io.decode_image(image.data).numpy()
    assert (image.height, image.width) == seen.shape[:2] == stored.shape[:2]
    assert np.abs(stored.astype(int) - seen).mean() <= (0 if picture_format == "PNG" else 1.5)
    assert image.orientation == orientation
    assert image.image_format == ("png" if picture_format == "PNG" else "jpeg")
    assert (image.data == data) == (orientation == 1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_other_images_become_rgb_without_loss(mode):
    picture = random_image(5).convert(mode)
    image = read_image(encoded(picture), "a")
    np.testing.assert_array_equal(tf.io.decode_png(image.data), np.asarray(picture.convert("RGB")))


def test_grey_jpeg_becomes_an_rgb_png_of_the_same_pixels():
    data = encoded(filled(77), "JPEG")
    image = read_image(data, "a")
    assert image.image_format == "png"
    np.testing.assert_array_equal(tf.io.decode_png(image.data), np.full((6, 8, 3), 77))


def transparent_palette():
    picture = filled(3).convert("P")
    picture.info["transparency"] = 3
    return encoded(picture, transparency=3)


DECODING = [
    (b"", "The file NAME is empty; replace it, or give --skip_bad to leave it out"),
    (b"no picture", "The file NAME cannot be decoded: it is none of .*; replace it, or give --skip_bad"),
    (
        declaring(encoded(filled(0)), 60_000, 60_000),
        r"NAME cannot be decoded: it has more than 178,956,970 pixels",
    ),
]
IMAGES = [
    (encoded(random_image(0), "GIF"), "The file NAME cannot be decoded: it is "),
    (
        encoded(random_image(0), "TIFF", save_all=True, append_images=[random_image(1)]),
        "The file NAME cannot be decoded: it has 2 pages; save each as a file of its own",
    ),
    (encoded(Image.fromarray(np.zeros((6, 8), np.uint16)), "TIFF"), "The image NAME has more than 8 bits per channel"),
    (encoded(random_image(0, 40, 40), "JPEG")[:-1], "The file NAME cannot be decoded: .*truncated"),
    (encoded(random_image(0, 40, 40), "JPEG")[:700], "The file NAME cannot be decoded: .*truncated"),
    (encoded(random_image(0, 40, 40), "JPEG").replace(b"\xff\xc4", b"\xff\x01"), "The file NAME cannot be decoded"),
    (encoded(random_image(0).convert("CMYK"), "JPEG"), "The image NAME has CMYK colours; convert it to RGB"),
    (png(16, 0, b"\0\1"), "The image NAME has more than 8 bits per channel"),
    (png(16, 2, b"\0\1\0\2\0\3"), "The image NAME has more than 8 bits per channel"),
    (png(16, 4, b"\0\1\xff\xff"), "The image NAME has more than 8 bits per channel"),
    (png(16, 6, b"\0\1\0\2\0\3\xff\xff"), "The image NAME has more than 8 bits per channel"),
    (encoded(filled((9, 8, 7, 254))), "The image NAME has transparent pixels"),
    (encoded(filled((9, 0))), "The image NAME has transparent pixels"),
    (transparent_palette(), "The image NAME has transparent pixels"),
]
LABELS = [
    (encoded(random_label(0, 40, 40))[:-200], "The file NAME cannot be decoded: "),
    (encoded(random_image(0), "JPEG"), "The label NAME is a JPEG, which changes the pixel values.* as PNG"),
    (encoded(random_image(0), "WEBP"), "The label NAME is a WebP that was compressed with losses"),
    (encoded(random_label(0), "TIFF", compression="jpeg"), "The label NAME is a TIFF that was compressed with losses"),
    (encoded(random_label(0), "TIFF", tiffinfo={262: 0}), "The label NAME is a TIFF whose 0 is white"),
    (
        encoded(random_label(0), "TIFF", save_all=True, append_images=[filled(0)]),
        "The file NAME cannot be decoded: it has 2 pages",
    ),
    (
        encoded(random_label(0), "GIF", save_all=True, append_images=[filled(0)]),
        "The file NAME cannot be decoded: it has 2 pages",
    ),
    (png(16, 0, b"\1\0"), r"The label NAME has values beyond 255 \(256\); class ids are 0 to 255"),
    (png(16, 2, b"\0\1" * 3), "The label NAME has 16 bits per channel; labels must have 8, or a single channel"),
    (png(16, 4, b"\0\1\xff\xff"), "The label NAME has 16 bits per channel"),
    (
        encoded(Image.fromarray(np.zeros((6, 8), np.float32)), "TIFF"),
        "The label NAME has floating-point values; save it as a PNG of class ids",
    ),
    (encoded(filled(0), exif=turned(6)), "The label NAME has an EXIF orientation"),
    (encoded(filled((9, 8, 7, 254))), "The label NAME has transparent pixels; save it without the alpha channel"),
    (encoded(filled((1, 0))), "The label NAME has transparent pixels"),
]


@pytest.mark.parametrize(("data", "message"), DECODING + IMAGES)
def test_images_that_cannot_be_used_are_named(data, message):
    with pytest.raises(UserError, match=rf"{message}[^.]*\.$"):
        read_image(data, "NAME")


@pytest.mark.parametrize(("data", "message"), DECODING + LABELS)
def test_labels_that_cannot_be_used_are_named(data, message):
    with pytest.raises(UserError, match=rf"{message}[^.]*\.$"):
        read_label(data, "NAME")


@pytest.mark.parametrize("end", [-1, -5, -13, -20])
def test_png_without_its_end_is_refused_though_pillow_shows_it(end):
    with pytest.raises(UserError, match=r"a cannot be decoded: .*(cut off|truncated)"):
        read_image(encoded(random_image(0))[:end], "a")


def test_png_with_a_changed_byte_is_refused():
    data = bytearray(encoded(random_image(0)))
    data[-18] ^= 1  # in the checksums of the pixels
    with pytest.raises(UserError, match="a cannot be decoded"):
        read_image(bytes(data), "a")


def test_what_is_accepted_is_what_tensorflow_can_decode(rng):
    """Random damage: never another error than UserError, never a file that fails in training."""
    outcomes = {True: 0, False: 0}
    for picture_format in ("PNG", "JPEG"):
        whole = encoded(random_image(0, 12, 10), picture_format)
        for _ in range(150):
            data = bytearray(whole[: rng.integers(1, len(whole) + 200)])
            data[rng.integers(len(data))] = rng.integers(256)
            try:
                image = read_image(bytes(data), "a")
            except UserError:
                outcomes[False] += 1
                continue
            outcomes[True] += 1
            assert tf.io.decode_image(image.data).shape == (image.height, image.width, 3)
    assert min(outcomes.values()) > 10


@pytest.mark.parametrize(
    ("data", "kind", "pixel"),
    [
        (encoded(filled(7)), "grey", 7),
        (encoded(filled((7, 255))), "grey", 7),
        (encoded(filled((1, 2, 3))), "rgb", [1, 2, 3]),
        (encoded(filled((1, 2, 3, 255))), "rgb", [1, 2, 3]),
        (encoded(Image.fromarray(np.ones((6, 8), bool))), "grey", 1),
        (png(2, 0, b"\xc0"), "grey", 3),
        (png(4, 0, b"\x90"), "grey", 9),
        (png(16, 0, b"\0\7"), "grey", 7),
        (encoded(filled(7), "TIFF", compression="tiff_lzw"), "grey", 7),
        (encoded(Image.fromarray(np.ones((6, 8), bool)), "TIFF", compression="group4"), "grey", 1),
        (encoded(Image.fromarray(np.full((6, 8), 7, np.uint16)), "TIFF"), "grey", 7),
        (encoded(filled(7), "WEBP", lossless=True), "grey", 7),
        (encoded(filled((1, 2, 3)), "WEBP", lossless=True), "rgb", [1, 2, 3]),
        (encoded(filled(7), "BMP"), "grey", 7),
    ],
)
def test_labels_are_decoded_by_kind(data, kind, pixel):
    label = read_label(data, "a")
    assert (label.kind, label.values.dtype) == (kind, np.uint8)
    assert label.values[0, 0].tolist() == pixel


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_labels_give_indices_and_colours(bits):
    indices = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    label = read_label(encoded(picture, bits=bits), "a")
    assert label.kind == "palette"
    np.testing.assert_array_equal(label.values, indices)
    assert label.palette[:2].tolist() == [[10, 20, 30], [40, 50, 60]]


def test_ids_are_checked_and_mapped():
    ids = np.array([[0, 3, 7, 255]], np.uint8)
    check_ids(ids, 8, 255, "NAME")
    with pytest.raises(
        UserError, match=r"The label NAME has the ids 3, 7, but there are 3 classes \(ids 0 to 2\) and .*255"
    ):
        check_ids(ids, 3, 255, "NAME")
    np.testing.assert_array_equal(remap_ids(ids, {0: 1, 7: 0}, 9), np.array([[1, 9, 0, 9]], np.uint8))


@pytest.mark.parametrize(("data", "message"), DECODING + IMAGES)
def test_bad_images_leave_nothing_or_are_skipped(tmp_path, data, message, capsys):
    source = Source(tmp_path)
    source.add("train/good.png")
    source.add("train/a.jpg", data)
    with pytest.raises(UserError, match=message.replace("NAME", r".*train/a\.jpg")):
        source.build()
    assert written_files(source.data_dir) == []
    assert source.build(skip_bad=True).info.splits == {"train": 1}
    said = capsys.readouterr().out
    assert "1 example was skipped" in said
    assert "--skip_bad" not in said


@pytest.mark.parametrize(("data", "message"), DECODING + LABELS)
def test_bad_labels_leave_nothing_or_are_skipped(tmp_path, data, message, capsys):
    source = Source(tmp_path)
    source.add("train/good.png")
    source.add("train/a.png", None, data)
    with pytest.raises(UserError, match=message.replace("NAME", r".*labels/train/a\.png")):
        source.build()
    assert written_files(source.data_dir) == []
    assert source.build(skip_bad=True).info.splits == {"train": 1}
    said = capsys.readouterr().out
    assert "1 example was skipped" in said
    assert "--skip_bad" not in said


@pytest.mark.parametrize("video", [b"\xff\xd9\xff\xda", b"\xff\xda\xff\xd9"])
def test_motion_photo_is_kept_and_tensorflow_decodes_it(video):
    still = encoded(random_image(0), "JPEG")
    motion = still + b"\0\0\0\x18ftypmp42" + video
    assert read_image(motion, "motion.jpg").data == motion
    np.testing.assert_array_equal(tf.io.decode_jpeg(motion), tf.io.decode_jpeg(still))


def test_bad_files_after_the_first_are_named_too(tmp_path):
    source = Source(tmp_path)
    for number in range(9):
        source.add(f"train/{number}.png", b"" if number in (2, 4, 7) else None)
    with pytest.raises(
        UserError, match=r"train/2\.png is empty; .*; 2 of the 6 after it cannot be used either \(4\.png, 7\.png\)\.$"
    ):
        source.build()
