"""Prediction of whole images: padding, upsampling, the mean over scales and flips."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import InferenceConfig, ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter


@pytest.fixture(scope="module")
def tiny():
    """A network whose predictions change over the image."""
    keras.utils.set_random_seed(0)
    network = build_segmenter(
        ModelConfig(num_classes=3, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))
    )
    kernel, bias = network.logits.semantic.kernel, network.logits.semantic.bias
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (1, 65, 65, 3)).astype("float32")
    kernel.assign(rng.normal(size=kernel.shape))
    logits = ops.convert_to_numpy(network(image))
    spread = logits.std(axis=(0, 1, 2))
    kernel.assign(kernel / spread)
    bias.assign(-logits.mean(axis=(0, 1, 2)) / spread)
    return network


@pytest.fixture
def image(rng):
    return rng.uniform(0, 255, size=(1, 50, 65, 3)).astype("float32")


def _padded(image, height, width):
    padded = np.full((len(image), height, width, 3), 127.5, "float32")
    padded[:, : image.shape[1], : image.shape[2]] = image
    return padded


def _softmax_at(network, images, size):
    """Softmax of the logits, upsampled to that size."""
    logits = kernels.resize_align_corners(network(images), *size)
    return ops.convert_to_numpy(ops.softmax(logits, axis=-1))


@pytest.mark.parametrize(("side", "padded"), [(1, 1), (2, 17), (17, 17), (18, 33), (480, 481), (513, 513)])
def test_images_are_padded_to_the_next_aligned_side(tiny, side, padded):
    assert Predictor(tiny).class_ids._padded(side, 0) == padded


def test_image_is_padded_with_grey_upsampled_and_cut(tiny, image):
    expected = _softmax_at(tiny, _padded(image, 65, 65), (65, 65))[:, :50]
    predictor = Predictor(tiny)
    np.testing.assert_allclose(predictor.predict_probabilities(image), expected, rtol=1e-5, atol=1e-6)
    ids = predictor.predict_batch(image)
    np.testing.assert_array_equal(ids, expected.argmax(axis=-1))
    assert (ids.dtype, len(np.unique(ids)) > 1) == (np.int32, True)


def test_image_is_padded_with_the_mean_pixel_of_the_network(image):
    predictor = Predictor(Segmenter(ModelConfig(2, "resnet_v1_50")))
    padded = np.asarray(predictor.class_ids.pad(image))
    np.testing.assert_array_equal(padded[:, :50], image)
    np.testing.assert_array_equal(padded[:, 50:], np.tile(np.float32([123.15, 115.9, 103.06]), (1, 15, 65, 1)))


def test_crop_size_pads_further_and_never_crops(tiny, image):
    predictor = Predictor(tiny, InferenceConfig(eval_crop_size=(81, 97)))
    expected = _softmax_at(tiny, _padded(image, 81, 97), (81, 97))[:, :50, :65]
    np.testing.assert_allclose(predictor.predict_probabilities(image), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(predictor.predict_batch(image), expected.argmax(axis=-1))
    with pytest.raises(UserError, match="a.png is 82 x 97 pixels, larger than --eval_crop_size=81,97"):
        predictor.check_size(np.zeros((82, 97, 3)), "a.png")


def test_crop_that_is_not_aligned_is_upsampled_as_published(tiny, image):
    predictor = Predictor(tiny, InferenceConfig(eval_crop_size=(70, 75)))
    expected = _softmax_at(tiny, _padded(image, 70, 75), (70, 75))[:, :50, :65]
    np.testing.assert_array_equal(predictor.predict_batch(image), expected.argmax(axis=-1))


def test_flips_alone_are_averaged(tiny, image):
    predictor = Predictor(tiny, InferenceConfig(add_flipped_images=True))
    padded = _padded(image, 65, 65)
    mirrored = _softmax_at(tiny, np.ascontiguousarray(padded[:, :, ::-1]), (65, 65))[:, :, ::-1]
    expected = (_softmax_at(tiny, padded, (65, 65)) + mirrored)[:, :50] / 2
    np.testing.assert_allclose(predictor.predict_probabilities(image), expected, atol=1e-5)
    np.testing.assert_array_equal(predictor.predict_batch(image), expected.argmax(axis=-1))


def test_scales_are_averaged_as_published(tiny, image):
    """Smaller logits (4 x 4) are brought to the feature size of the unscaled image (5 x 5) first."""
    predictor = Predictor(tiny, InferenceConfig(eval_scales=(0.75, 2.0)))
    padded = _padded(image, 65, 65)
    small = tiny(kernels.resize_align_corners(ops.convert_to_tensor(padded), 49, 49))
    small = kernels.resize_align_corners(kernels.resize_align_corners(small, 5, 5), 65, 65)
    large = kernels.resize_align_corners(ops.convert_to_tensor(padded), 129, 129)
    expected = (ops.convert_to_numpy(ops.softmax(small)) + _softmax_at(tiny, large, (65, 65)))[:, :50] / 2
    np.testing.assert_allclose(predictor.predict_probabilities(image), expected, atol=1e-5)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")])
def test_exhausted_memory_is_said_with_what_needs_less(tiny, image, monkeypatch, error):
    def fail(images):
        raise error

    predictor = Predictor(tiny)
    for model in (predictor.class_ids, predictor.probabilities):
        monkeypatch.setattr(model, "predict_on_batch", fail)
    for predict in (predictor.predict_batch, predictor.predict_probabilities):
        with pytest.raises(UserError, match=r"not enough for 1 image.s. of 50 x 65 pixels at a time; --sliding_window"):
            predict(image)


def test_other_errors_of_a_prediction_pass(tiny, image, monkeypatch):
    predictor = Predictor(tiny)
    monkeypatch.setattr(predictor.class_ids, "predict_on_batch", lambda images: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        predictor.predict_batch(image)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA orders computations itself")
def test_scales_are_computed_one_after_another(tiny):
    """Each network of the graph waits for the sum of those before, so that memory does not grow with the scales."""
    import tensorflow as tf

    predictor = Predictor(tiny, InferenceConfig(eval_scales=(0.5, 1.0), add_flipped_images=True))
    function = tf.function(predictor.probabilities, input_signature=[tf.TensorSpec([1, 65, 65, 3])])
    operations = function.get_concrete_function().graph.get_operations()
    waiting = [
        op
        for op in operations
        if op.type == "Identity" and any(b.type in ("AddV2", "Softmax") for b in op.control_inputs)
    ]
    assert len(waiting) == 3  # all but the first of four


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"eval_scales": (0.5, 0.0)}, "--eval_scales must be numbers greater than 0, got 0.5,0.0"),
        ({"eval_scales": ()}, "--eval_scales must be numbers greater than 0"),
        ({"sliding_window": (513,)}, "--sliding_window must be HEIGHT,WIDTH in pixels, got 513"),
        ({"eval_crop_size": (0, 3)}, "--eval_crop_size must be HEIGHT,WIDTH in pixels, got 0,3"),
        ({"window_overlap": 1.0}, r"--window_overlap must be in \[0, 1\), got 1.0"),
        ({"inference_dtype": "float16"}, "--inference_dtype must be one of float32, bfloat16, got float16"),
        ({"sliding_window": (9, 9), "eval_crop_size": (9, 9)}, "Give only one of --sliding_window and"),
    ],
)
def test_impossible_inference_is_refused(flags, message):
    with pytest.raises(UserError, match=message):
        InferenceConfig(**flags)
