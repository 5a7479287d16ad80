"""Images are decoded in a process of its own, which may be ended."""

import io

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.errors import UserError
from deeplab_dpc.serving.image_decoder import Decoder, Unwanted


def _never():
    return False


@pytest.fixture(scope="module")
def decoder():
    running = Decoder(max_pixels=1_000_000, formats=("JPEG", "PNG"), seconds=30)
    yield running
    running.close()


@pytest.fixture
def image(rng):
    """A PNG file and its pixels."""
    pixels = rng.integers(0, 256, size=(3, 4, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue(), pixels


def _slow(scans=900):
    """A progressive JPEG whose last scan is repeated that often."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((1000, 1000, 3), np.uint8)).save(stream, format="JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * scans + content[-2:]


def test_pixels_come_back(decoder, image):
    np.testing.assert_array_equal(decoder.decode(image[0], _never), image[1])


def test_what_is_no_image_is_one_sentence_and_the_next_is_decoded(decoder, image):
    with pytest.raises(UserError, match="The image cannot be read as an image"):
        decoder.decode(b"no image", _never)
    np.testing.assert_array_equal(decoder.decode(image[0], _never), image[1])


def test_side_of_millions_of_pixels_is_refused_before_it_is_decoded(decoder):
    stream = io.BytesIO()
    Image.new("L", (999_999, 1)).save(stream, format="PNG")
    with pytest.raises(UserError, match="65,535"):
        decoder.decode(stream.getvalue(), _never)


def test_jpeg_of_a_million_scans_is_refused_before_it_is_decoded(decoder):
    with pytest.raises(UserError, match="The image has more than 1,000 scans"):
        decoder.decode(_slow(1_000_000), _never)


def test_image_that_nobody_waits_for_is_given_up(decoder, image):
    with pytest.raises(Unwanted):
        decoder.decode(_slow(), lambda: True)
    np.testing.assert_array_equal(decoder.decode(image[0], _never), image[1])


def test_image_that_takes_too_long_is_given_up(image):
    decoder = Decoder(max_pixels=1_000_000, formats=("JPEG",), seconds=0.1)
    with pytest.raises(UserError, match="The image takes more than 0.1 s to decode; save it anew, or reduce it."):
        decoder.decode(_slow(), _never)
    decoder.close()


def test_decoder_that_crashes_costs_one_image(decoder, image):
    decoder.decode(image[0], _never)
    decoder._process.kill()
    decoder._process.wait()
    with pytest.raises(UserError, match="The image cannot be read as an image: the decoder broke off; save it anew."):
        decoder.decode(image[0], _never)
    np.testing.assert_array_equal(decoder.decode(image[0], _never), image[1])
