"""One training step: what becomes of the gradient, and a batch in pieces."""

import keras
import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_arrays, published_name
from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.interpolation import interpolation_matrix
from deeplab_dpc.training.training_model import TrainingModel, build_training_model

MODEL = ModelConfig(num_classes=3, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))
IGNORE = 255


def _model(eagerly=True, **options) -> TrainingModel:
    keras.utils.set_random_seed(0)
    options = {"training_number_of_steps": 10, "base_learning_rate": 0.1, "learning_power": 0.0} | options
    model = build_training_model(MODEL, TrainConfig(**options), IGNORE)
    for layer in model.network._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    rng = np.random.default_rng(0)
    for variable in model.network.weights:
        if "kernel" in variable.path:
            # Keeps the scale of activations under inference statistics too, which are still 0 and 1.
            fan_in = np.prod(variable.shape[:2]) if "depthwise" in variable.path else np.prod(variable.shape[:-1])
            variable.assign(rng.normal(0, np.sqrt(2.0 / fan_in), variable.shape))
    model.run_eagerly = eagerly
    return model


@pytest.mark.parametrize(("keep_prob", "progress"), [(0.8, [0.3, 1.0]), (1.0, [None, None])])
def test_network_is_told_the_progress_of_the_training_where_paths_are_dropped(keep_prob, progress):
    model, told = _model(drop_path_keep_prob=keep_prob), []

    def network(images, training, progress):
        told.append(progress if progress is None else pytest.approx(float(progress)))
        return np.zeros((1, 3, 3, 3), "float32")

    model.network = network
    labels = np.zeros((1, 33, 33), "int32")
    for step in (3, 12):
        model.piece_parts(np.zeros((1, 33, 33, 3), "float32"), labels, np.int32(step), 33.0 * 33.0, 1.0)
    assert progress == told


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 3, (4, 3, 3)), np.ones((1, 11, 11))).astype("int32")
    images = (labels[..., None] * np.array([90.0, 20.0, 60.0]) + rng.uniform(0, 60, (4, 33, 33, 3))).astype("float32")
    labels[0, :30] = IGNORE  # so that the images do not weigh the same
    labels[3, :, :11] = IGNORE
    return images, labels


def _step(model: TrainingModel, batch) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """How far one step moves each variable, in units of the rate; and its values."""
    before = named_arrays(model.network)
    values = model.train_on_batch(*batch, return_dict=True)
    after = named_arrays(model.network)
    moved = {name: (before[name] - after[name]) / 0.1 for name in before}
    return moved, {name: float(value) for name, value in values.items()}


@pytest.fixture(scope="module")
def plain(batch):
    """A step without decay: twice the gradient for biases, the gradient for the others."""
    return _step(_model(eagerly=False, weight_decay=0.0), batch)


def test_values_are_the_loss_its_parts_and_the_norm_of_what_is_applied(plain):
    moved, values = plain
    assert set(values) == {"loss", "cross_entropy", "gradient_norm"}
    assert values["loss"] == pytest.approx(values["cross_entropy"])
    trained = [name for name in moved if "moving" not in name]
    norm = np.sqrt(sum(np.sum(np.square(moved[name].astype("float64"))) for name in trained))
    assert values["gradient_norm"] == pytest.approx(norm, rel=1e-3)


def test_bias_gradients_count_twice(plain, batch):
    model = _model(weight_decay=0.0)
    # The gradient of a logit's bias is the mean over the labelled pixels of probability minus one-hot.
    images, labels = batch
    logits = np.asarray(model.network(images, training=True))
    vertical = horizontal = interpolation_matrix(logits.shape[1], labels.shape[1])
    upsampled = np.einsum("Hh,bhwc,Ww->bHWc", vertical, logits, horizontal)
    probabilities = np.exp(upsampled) / np.exp(upsampled).sum(-1, keepdims=True)
    labelled = labels != IGNORE
    expected = np.array([(probabilities[..., c] - (labels == c))[labelled].mean() for c in range(3)])
    moved, _ = plain
    np.testing.assert_allclose(moved["logits/semantic/biases"], 2.0 * expected, rtol=1e-3, atol=1e-5)


def test_weight_decay_adds_itself_to_kernels_and_its_half_square_to_the_loss(plain, batch):
    model = _model(weight_decay=0.5)
    before = named_arrays(model.network)
    moved, values = _step(model, batch)
    kernels = [name for name in before if name.endswith("/weights")]
    assert values["weight_decay"] == pytest.approx(0.25 * sum(np.sum(np.square(before[name])) for name in kernels))
    assert values["loss"] == pytest.approx(values["cross_entropy"] + values["weight_decay"])
    for name in moved:
        decay = 0.5 * before[name] if name in kernels else 0.0
        np.testing.assert_allclose(moved[name], plain[0][name] + decay, rtol=1e-3, atol=2e-5, err_msg=name)


def test_last_layers_move_by_their_multiplier(plain, batch):
    moved, _ = _step(_model(weight_decay=0.0, last_layer_gradient_multiplier=3.0), batch)
    for name in moved:
        is_last = not name.startswith("MobilenetV2/") and "moving" not in name
        np.testing.assert_allclose(moved[name], plain[0][name] * (3.0 if is_last else 1.0), rtol=2e-3, atol=2e-5)


def test_clipping_keeps_the_direction(plain, batch):
    moved, values = _step(_model(weight_decay=0.0, clip_gradient_norm=0.25), batch)
    assert values["gradient_norm"] == pytest.approx(plain[1]["gradient_norm"], rel=1e-4)
    factor = 0.25 / values["gradient_norm"]
    assert factor < 1.0
    name = "logits/semantic/weights"
    np.testing.assert_allclose(moved[name], plain[0][name] * factor, rtol=2e-3, atol=1e-6)


@pytest.mark.long
def test_pieces_of_a_batch_make_the_step_of_the_whole(batch):
    options = {"fine_tune_batch_norm": False, "weight_decay": 0.01}
    whole, values = _step(_model(**options), batch)
    pieces, in_pieces = _step(_model(eagerly=False, gradient_accumulation_steps=2, **options), batch)
    assert in_pieces == pytest.approx(values, rel=1e-5)
    for name, moved in whole.items():
        np.testing.assert_allclose(pieces[name], moved, rtol=1e-3, atol=2e-5, err_msg=name)
    logits = whole["logits/semantic/weights"]
    assert np.abs(logits).max() > 1e-2  # or the comparison would say nothing


def test_cross_entropy_by_quadrature_makes_nearly_the_same_step(plain, batch):
    moved, values = _step(_model(weight_decay=0.0, loss_quadrature_nodes=6), batch)
    assert set(values) == set(plain[1])
    assert values["loss"] == pytest.approx(plain[1]["loss"], rel=2e-3)
    for name, exact in plain[0].items():
        if "moving" not in name:
            assert np.linalg.norm(moved[name] - exact) < 0.05 * np.linalg.norm(exact) + 1e-5, name


def test_frozen_statistics_leave_gamma_and_beta_to_train(batch):
    moved, _ = _step(_model(fine_tune_batch_norm=False), batch)
    assert all(not moved[name].any() for name in moved if "moving" in name)
    assert all(moved[name].any() for name in moved if name.endswith(("gamma", "beta")))


def test_statistics_of_the_backbone_alone_may_be_frozen(batch):
    moved, _ = _step(_model(fine_tune_backbone_batch_norm=False), batch)
    statistics = {name: moved[name].any() for name in moved if "moving" in name}
    assert {name for name, has_moved in statistics.items() if not has_moved} == {
        name for name in statistics if name.startswith("MobilenetV2/")
    }
    assert all(moved[name].any() for name in moved if name.endswith(("gamma", "beta")))


def test_frozen_backbone_keeps_its_variables_and_statistics(batch):
    moved, _ = _step(_model(freeze_backbone=True), batch)
    backbone = [name for name in moved if name.startswith("MobilenetV2/")]
    assert all(not moved[name].any() for name in backbone)
    assert all(moved[name].any() for name in moved if name not in backbone)


@pytest.mark.long
def test_float16_trains_with_a_scaled_loss(batch):
    model = _model(eagerly=False, precision="float16", training_number_of_steps=40, base_learning_rate=0.05)
    losses = [float(model.train_on_batch(*batch, return_dict=True)["loss"])]
    for _ in range(25):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert int(model.optimizer.iterations) >= 15  # the others lowered the scale
    assert losses[-1] < 0.9 * losses[0]
    assert {variable.dtype for variable in model.network.weights} == {"float32"}


def test_adamw_decays_by_itself(batch):
    model = _model(optimizer="adamw", weight_decay=0.1)
    _, values = _step(model, batch)
    assert "weight_decay" not in values
    excluded = [
        published_name(variable.path)
        for variable in model.network.trainable_variables
        if not model.optimizer._use_weight_decay(variable)
    ]
    assert "logits/semantic/biases" in excluded
    assert not any(name.endswith("/weights") for name in excluded)


def test_label_weights_must_be_one_a_class():
    with pytest.raises(UserError, match="--label_weights has 2 weights, but there are 3 classes"):
        _model(label_weights=(1.0, 2.0))
