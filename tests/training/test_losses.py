"""The loss against hand-computed values and those of the published code."""

import importlib.util
import json

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from deeplab_dpc.errors import UserError
from deeplab_dpc.training.losses import SegmentationLoss

# Probabilities of two classes at four pixels in a row, the last unlabelled.
PROBABILITIES = np.array([[[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.3, 0.7]]]])
LOGITS = np.log(PROBABILITIES)
LABELS = [[[1, 0, 1, 255]]]
COSTS = -np.log([0.75, 0.5, 0.1])
RAMPED = {"top_k_percent_pixels": 0.25, "hard_example_mining_step": 100}
# What the published code was given for the values in losses_and_schedules.json.
PUBLISHED = {
    "plain": {},
    "label_weights": {"weighted": True},
    "top_25_percent": {"top_k_percent_pixels": 0.25},
    "top_25_percent_ramp_step_300_of_1000": {"top_k_percent_pixels": 0.25, "hard_example_mining_step": 1000},
    "label_weights_top_10_percent": {"weighted": True, "top_k_percent_pixels": 0.1},
    "labels_downsampled": {"upsample_logits": False},
}


def _parts(loss, labels=LABELS, logits=LOGITS, **kwargs):
    parts = loss.parts(np.asarray(labels, "int32"), ops.convert_to_tensor(logits, "float32"), step=0, **kwargs)
    return {name: float(value) for name, value in parts.items()}


def _loss(loss, labels=LABELS, logits=LOGITS, step=0):
    return float(loss(np.asarray(labels, "int32"), ops.convert_to_tensor(logits, "float32"), step))


@pytest.fixture(scope="module")
def inputs(shared):
    """Logits, labels and label weights as losses_and_schedules.md describes them."""
    spec = importlib.util.spec_from_file_location("values", shared / "reference/checkpoints/variable_values.py")
    values = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(values)
    labels = np.floor((values._uniform("loss_labels", [2, 65, 97, 1]) + 1) / 2 * 22)[..., 0]
    labels[labels >= 19] = 255
    return (
        3.0 * values._uniform("loss_logits", [2, 9, 13, 19]),
        labels,
        1 + 0.8 * values._uniform("label_weights", [19]),
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_loss_equals_the_published_codes(shared, inputs, name):
    logits, labels, weights = inputs
    options = dict(PUBLISHED[name])
    loss = SegmentationLoss(label_weights=weights if options.pop("weighted", False) else (), **options)
    expected = json.loads((shared / "reference/losses_and_schedules.json").read_text())["losses"][name]
    assert _loss(loss, labels, logits, step=300) == pytest.approx(expected, rel=1e-5)


def test_every_published_loss_is_compared(shared):
    assert set(json.loads((shared / "reference/losses_and_schedules.json").read_text())["losses"]) == set(PUBLISHED)


def test_loss_is_the_mean_over_labelled_pixels():
    assert _parts(SegmentationLoss()) == {"cross_entropy": pytest.approx(COSTS.sum() / 3, rel=1e-6)}


def test_labels_may_be_of_any_integer_type_and_logits_of_any_float_type():
    logits = ops.cast(ops.convert_to_tensor(np.zeros((1, 1, 4, 2))), "bfloat16")
    loss = SegmentationLoss()(np.array(LABELS, "uint8"), logits)
    assert ops.dtype(loss) == "float32"
    assert float(loss) == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"top_k_percent_pixels": 0.5}, {"focal_loss_weight": 1, "dice_loss_weight": 1}]
)
def test_loss_of_unlabelled_images_is_zero(options):
    assert _loss(SegmentationLoss(**options), np.full((1, 3, 3), 255), np.ones((1, 2, 2, 4))) == 0.0


def test_logits_are_upsampled_to_the_labels():
    # One row of logits 0 and 2 for class 1; the middle pixel sees 1.
    logits = np.array([[[[0.0, 0.0], [0.0, 2.0]]]])
    assert _loss(SegmentationLoss(), [[[255, 1, 255]]], logits) == pytest.approx(np.log(1 + np.exp(-1.0)), rel=1e-6)


def test_labels_are_sampled_at_the_logits_size():
    # Of 4 labels, those at 0, 1.5 -> 2 and 3.
    labels = [[[1, 255, 0, 1]]]
    loss = SegmentationLoss(upsample_logits=False)
    assert _loss(loss, labels, LOGITS[:, :, :3]) == pytest.approx(COSTS.mean(), rel=1e-6)
    assert float(loss.labelled_pixels(np.array(labels), (1, 3))) == 3.0
    assert float(loss.labelled_pixels(np.array(labels), (1, 1))) == 1.0
    assert float(SegmentationLoss().labelled_pixels(np.array(labels), (1, 1))) == 3.0


@pytest.mark.parametrize(("size", "sampled"), [((65, 97), (9, 13)), ((33, 50), (5, 8)), ((7, 30), (3, 11))])
def test_labels_are_sampled_as_tensorflow_resizes_them(rng, size, sampled):
    labels = rng.integers(0, 200, (2, *size)).astype("int32")
    expected = tf.raw_ops.ResizeNearestNeighbor(images=labels[..., None], size=sampled, align_corners=True)
    assert np.array_equal(SegmentationLoss(upsample_logits=False)._labels(labels, sampled), expected[..., 0])


def test_label_weights_multiply_the_loss_but_not_the_number_of_pixels():
    loss = SegmentationLoss(label_weights=(3.0, 0.5))
    assert _loss(loss) == pytest.approx((0.5 * COSTS[0] + 3 * COSTS[1] + 0.5 * COSTS[2]) / 3, rel=1e-6)


def test_label_weights_must_be_as_many_as_classes():
    loss = SegmentationLoss(label_weights=(1.0, 2.0, 3.0))
    with pytest.raises(UserError, match="--label_weights has 3 weights, but there are 2 classes"):
        loss.check_classes(2)
    with pytest.raises(UserError, match="--label_weights has 3 weights"):
        _loss(loss)
    loss.check_classes(3)
    SegmentationLoss().check_classes(2)


@pytest.mark.parametrize(
    ("options", "step", "expected"),
    [
        # Of four pixels, one of them unlabelled.
        ({"top_k_percent_pixels": 0.25}, 0, COSTS[2]),
        ({"top_k_percent_pixels": 0.5}, 0, (COSTS[2] + COSTS[1]) / 2),
        ({"top_k_percent_pixels": 0.74}, 0, (COSTS[2] + COSTS[1]) / 2),
        # Losses of 0 do not count in the mean.
        ({"top_k_percent_pixels": 0.99, "label_weights": (0.0, 1.0)}, 0, (COSTS[2] + COSTS[0]) / 2),
        (RAMPED, 0, COSTS.mean()),
        (RAMPED, 60, (COSTS[2] + COSTS[1]) / 2),  # 0.55 of four pixels
        (RAMPED, 100, COSTS[2]),
        (RAMPED, 1000, COSTS[2]),
    ],
)
def test_mining_takes_the_hardest_pixels(options, step, expected):
    assert _loss(SegmentationLoss(**options), step=step) == pytest.approx(expected, rel=1e-6)


def test_mining_teaches_the_hardest_pixels_alone():
    logits = tf.Variable(LOGITS.astype("float32"))

    @tf.function
    def gradient(step):
        with tf.GradientTape() as tape:
            loss = SegmentationLoss(top_k_percent_pixels=0.5, hard_example_mining_step=10)(
                np.array(LABELS), logits, step
            )
        return tape.gradient(loss, logits)

    # p - onehot, over two pixels.
    expected = [[0.0, 0.0], [-0.25, 0.25], [0.45, -0.45], [0.0, 0.0]]
    np.testing.assert_allclose(gradient(tf.constant(10))[0, 0], expected, atol=1e-6)


def test_focal_loss_is_the_cross_entropy_of_uncertain_pixels():
    loss = SegmentationLoss(focal_loss_weight=0.5, focal_loss_gamma=2.0)
    expected = 0.5 * (0.25**2 * COSTS[0] + 0.5**2 * COSTS[1] + 0.9**2 * COSTS[2]) / 3
    assert _parts(loss)["focal_loss"] == pytest.approx(expected, rel=1e-6)
    assert loss.part_names == ("cross_entropy", "focal_loss")


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_certain_pixels_has_a_finite_gradient(gamma):
    logits = tf.Variable([[[[0.0, 200.0]]]])
    with tf.GradientTape() as tape:
        loss = SegmentationLoss(focal_loss_weight=1.0, focal_loss_gamma=gamma)([[[1]]], logits)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[[[0.0, 0.0]]]], atol=1e-12)


def test_dice_loss_compares_probabilities_with_the_labels():
    loss = SegmentationLoss(dice_loss_weight=2.0)
    # Labelled pixels: class 0 has p = 0.25, 0.5, 0.9 and is the second's label.
    first = 2 * 0.5 / (0.25**2 + 0.5**2 + 0.9**2 + 1)
    second = 2 * (0.75 + 0.1) / (0.75**2 + 0.5**2 + 0.1**2 + 2)
    assert _parts(loss)["dice_loss"] == pytest.approx(2 * (1 - (first + second) / 2), rel=1e-6)


def test_dice_loss_leaves_classes_without_labels_out():
    loss = SegmentationLoss(dice_loss_weight=1.0)
    dice = 2 * (0.75 + 0.5) / (0.75**2 + 0.5**2 + 2)
    assert _parts(loss, [[[1, 1, 255, 255]]])["dice_loss"] == pytest.approx(1 - dice, rel=1e-6)


def test_sum_of_the_parts_is_the_loss():
    loss = SegmentationLoss(focal_loss_weight=1.0, dice_loss_weight=1.0)
    parts = _parts(loss)
    assert tuple(parts) == loss.part_names == ("cross_entropy", "focal_loss", "dice_loss")
    assert _loss(loss) == pytest.approx(sum(parts.values()), rel=1e-6)


def test_pieces_of_a_batch_sum_to_its_loss_and_gradient(rng):
    labels = rng.integers(0, 5, (4, 9, 9)).astype("int32")
    labels[labels == 4] = 255
    labels[0] = 255  # The pieces have different numbers of labelled pixels.
    values = rng.normal(size=(4, 3, 3, 4)).astype("float32")
    for options in ({"upsample_logits": True}, {"upsample_logits": False}):
        loss = SegmentationLoss(label_weights=(1.0, 0.5, 2.0, 0.1), focal_loss_weight=1.0, **options)
        logits = tf.Variable(values)
        with tf.GradientTape(persistent=True) as tape:
            whole = loss(labels, logits)
            count = loss.labelled_pixels(labels, (3, 3))
            pieces = [loss.parts(labels[i::2], logits[i::2], 0, labelled_pixels=count, share=0.5) for i in range(2)]
            total = sum(sum(parts.values()) for parts in pieces)
        assert float(total) == pytest.approx(float(whole), rel=1e-6)
        np.testing.assert_allclose(tape.gradient(total, logits), tape.gradient(whole, logits), rtol=1e-5, atol=1e-7)


def test_what_is_no_sum_over_pixels_is_averaged_over_the_pieces():
    loss = SegmentationLoss(top_k_percent_pixels=0.5, dice_loss_weight=1.0)
    whole = _parts(loss)
    piece = _parts(loss, labelled_pixels=100.0, share=0.25)
    assert piece == {name: pytest.approx(value / 4, rel=1e-6) for name, value in whole.items()}


def test_mining_and_sampling_compile_under_xla():
    loss = SegmentationLoss(upsample_logits=False, focal_loss_weight=1.0, dice_loss_weight=1.0, **RAMPED)
    labels, logits = tf.constant(LABELS), tf.constant(LOGITS[:, :, :3], tf.float32)
    compiled = tf.function(loss, jit_compile=True)
    assert float(compiled(labels, logits, tf.constant(60))) == pytest.approx(float(loss(labels, logits, 60)), rel=1e-5)
