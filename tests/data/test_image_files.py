"""Image files: found by folder and pattern, decoded the way people see them."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.data.image_files import ImageFile, decode_image, find_images
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
    with pytest.raises(UserError, match="p has 2 x 3 pixels, more than 5; cut it into tiles"):
        decode_image(encoded(Image.fromarray(PIXELS), "PNG"), "p", max_pixels=5)


def test_limit_of_pillow_is_a_sentence_and_its_warning_below_is_none(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)  # refused from twice as many on
    with pytest.raises(UserError, match="bomb.png has more than 178,956,970 pixels"):
        decode_image(encoded(Image.fromarray(PIXELS), "PNG"), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert decode_image(encoded(Image.fromarray(PIXELS), "PNG"), "large.png").shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "none of JPEG, PNG, BMP, TIFF, WEBP"),
        (b"no image", "none of JPEG"),
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


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    for name in ("b.PNG", "a.jpg", "notes.txt", "day/a.jpg", "day/deep/c.webp", "clip.mp4"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_folder_gives_the_images_directly_in_it(photos):
    assert find_images(str(photos)) == [ImageFile(photos / "a.jpg", "a"), ImageFile(photos / "b.PNG", "b")]


def test_pattern_keeps_folders_in_names_and_leaves_out_own_outputs(photos):
    assert [file.name for file in find_images(f"{photos}/**/*")] == ["a", "b", "day/a", "day/deep/c"]
    assert [file.name for file in find_images(f"{photos}/d*/a.jpg")] == ["day/a"]
    found = find_images(f"{photos}/**/*.*", without=[photos / "day" / "deep"])
    assert [file.name for file in found] == ["a", "b", "day/a"]


def test_single_file_may_have_any_name(photos):
    assert find_images(str(photos / "notes.txt")) == [ImageFile(photos / "notes.txt", "notes")]


def test_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path):
    (tmp_path / "set[1]").mkdir()
    (tmp_path / "set[1]" / "a.png").touch()
    assert [file.name for file in find_images(str(tmp_path / "set[1]"))] == ["a"]


def test_two_images_of_one_name_are_refused(photos):
    (photos / "a.png").touch()
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png would both be written as a\.png; rename one"):
        find_images(str(photos))


def test_no_image_is_an_error(photos):
    with pytest.raises(UserError, match="nowhere is not a folder, a file, or a pattern"):
        find_images(str(photos / "nowhere"))
    with pytest.raises(UserError, match=r"\*\.mp4 matches no \.jpg.* file; a video is given by its own name"):
        find_images(f"{photos}/*.mp4")
    (photos / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no \.jpg, "):
        find_images(str(photos / "empty"))
