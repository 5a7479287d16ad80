"""Damaged image files: the pixels of the intact file, or a sentence.

Only PNG has checksums. What changes in the bytes of the other formats and leaves them decodable gives other pixels; it
is counted under a name of its own.
"""

import io

import numpy as np
from mutations import mutated_bytes
from PIL import Image

from deeplab_dpc.data.image_files import decode_image, decode_picture
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.pictures import read_image

PIXELS = (np.add.outer(7 * np.arange(21), 5 * np.arange(30))[..., np.newaxis] * [1, 2, 3] % 256).astype(np.uint8)
IDS = (np.add.outer(np.arange(21), np.arange(30)) // 9).astype(np.uint8)
NO_CHECKSUM = "other pixels, no checksum"


def encoded(picture, image_format, **options):
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()


def exif(orientation=1):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F], tags[0x011A], tags[0x0131] = "camera", 72.0, "software"
    tags.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    return tags.tobytes()


def indexed():
    picture = Image.fromarray(IDS, "P")
    picture.putpalette([value % 256 for value in range(3 * 8)])
    return picture


RGB = Image.fromarray(PIXELS)
FILES = {
    "PNG": [
        encoded(RGB, "PNG", exif=exif(6)),
        encoded(RGB.convert("L"), "PNG"),
        encoded(indexed(), "PNG", transparency=2),
        encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "PNG"),
    ],
    "JPEG": [
        encoded(RGB, "JPEG", exif=exif(3)),
        encoded(RGB, "JPEG", progressive=True, quality=90),
        encoded(RGB, "MPO", save_all=True, append_images=[RGB]),
    ],
    "BMP": [encoded(RGB, "BMP"), encoded(indexed(), "BMP")],
    "TIFF": [encoded(RGB, "TIFF"), encoded(RGB, "TIFF", compression="tiff_lzw")],
    "WEBP": [encoded(RGB, "WEBP", lossless=True, exif=exif(8)), encoded(RGB, "WEBP")],
}
DECODED = {data: decode_image(io.BytesIO(data), "intact") for files in FILES.values() for data in files}


def is_same(one, other):
    return one.shape == other.shape and np.array_equal(one, other)


def test_png_files_have_their_pixels_or_are_refused(fuzz):
    def one(rng):
        intact = FILES["PNG"][int(rng.integers(len(FILES["PNG"])))]
        assert is_same(decode_image(io.BytesIO(mutated_bytes(rng, intact)), "x.png"), DECODED[intact])
        return "same"

    assert fuzz("images, PNG", one, share=2)["refused"]


def test_other_formats_never_end_in_a_stack_trace(fuzz):
    for image_format in ("JPEG", "BMP", "TIFF", "WEBP"):

        def one(rng, files=FILES[image_format]):
            intact = files[int(rng.integers(len(files)))]
            image = decode_image(io.BytesIO(mutated_bytes(rng, intact)), "x", max_pixels=10_000)
            return "same" if is_same(image, DECODED[intact]) else NO_CHECKSUM

        assert fuzz(f"images, {image_format}", one)["refused"]


def test_odd_metadata_leave_the_pixels(fuzz):
    """Whatever an EXIF block says, the pixels are the image's, in one of the eight orientations."""

    def turned(pixels):
        return [np.rot90(side, turns) for side in (pixels, pixels[:, ::-1]) for turns in range(4)]

    formats = {"WEBP": {"lossless": True}, "JPEG": {}, "PNG": {}}
    known = {
        name: turned(decode_image(io.BytesIO(encoded(RGB, name, **options)), "intact"))
        for name, options in formats.items()
    }

    def one(rng):
        block = b"Exif\0\0" + mutated_bytes(rng, exif(int(rng.integers(10))).removeprefix(b"Exif\0\0"))
        name = list(formats)[int(rng.integers(3))]
        image = decode_image(io.BytesIO(encoded(RGB, name, exif=block, **formats[name])), "x")
        assert any(is_same(image, pixels) for pixels in known[name])
        return "upright" if is_same(image, known[name][0]) else "turned"

    tally = fuzz("images, EXIF", one)
    assert tally["upright"]
    assert tally["turned"]
    assert not tally["refused"]


def test_what_follows_the_end_is_no_damage(fuzz):
    def one(rng):
        intact = FILES["JPEG" if rng.integers(2) else "PNG"][int(rng.integers(2))]
        followed = intact + rng.bytes(int(rng.integers(5000)))
        assert is_same(decode_image(io.BytesIO(followed), "motion.jpg"), DECODED[intact])
        if intact is FILES["JPEG"][1]:  # others are encoded again, upright or in colour
            assert read_image(followed, "motion.jpg").data == followed
        return "same"

    tally = fuzz("images, data after the end", one, share=0.5)
    assert not tally["refused"]


def test_labels_have_their_ids_or_are_refused(fuzz):
    label = encoded(Image.fromarray(IDS), "PNG")

    def one(rng):
        read = read_label(mutated_bytes(rng, label), "x.png")
        assert (read.kind, is_same(read.values, IDS)) == ("grey", True)
        return "same"

    assert fuzz("images, labels", one)["refused"]


def test_images_of_conversions_are_refused_or_decodable(fuzz):
    def one(rng):
        files = FILES["PNG"] + FILES["JPEG"]
        intact = files[int(rng.integers(len(files)))]
        image = read_image(mutated_bytes(rng, intact), "x")
        pixels = np.asarray(decode_picture(image.data, ("PNG", "JPEG")).convert("RGB"))
        assert pixels.shape == (image.height, image.width, 3)
        if image.image_format == "png":
            assert intact not in FILES["PNG"] or is_same(pixels, DECODED[intact])  # turned upright
        return "same" if image.data == intact else "accepted"

    assert fuzz("images, conversion", one)["refused"]
