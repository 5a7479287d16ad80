"""The compiled steps of the search against NumPy, Keras' Adam and benchmarks/plain_supernet.py."""

import dataclasses

import keras
import numpy as np
import plain_supernet
import pytest
import tensorflow as tf

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.search.auto_deeplab.decoding import edge_mask
from deeplab_dpc.search.auto_deeplab.search_program import SearchProgram, mixtures
from deeplab_dpc.search.proxy.tensorflow_backend import value_and_gradient

CLASSES, IGNORED = 3, 255
CONFIG = AutoDeepLabConfig(
    num_layers=1, num_blocks=1, filter_multiplier=2, stem_filters=4, weight_decay=0.01, architecture_weight_decay=0.1
)
WEIGHT_STATE = ("weights", "statistics", "accumulators")
ARCHITECTURE_STATE = ("architecture", "first_moments", "second_moments")


@pytest.fixture(scope="module")
def program():
    return SearchProgram(CONFIG, CLASSES, IGNORED, num_steps=50)  # moving averages keep 1 - 10 / 50 = 0.8


@pytest.fixture(scope="module")
def batches():
    """Two batches of noise brighter by class, in which a border has no label."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, CLASSES, (2, 3, 3)).repeat(11, axis=1).repeat(11, axis=2).astype("int32")
        images = 100 * labels[..., np.newaxis] + rng.uniform(0, 50, (2, 33, 33, 3))
        labels[:, :4] = IGNORED
        return images.astype("float32"), labels

    return draw(0), draw(1)


@pytest.fixture(scope="module")
def loss_and_gradient(program):
    """Returns (loss, statistics) and gradients of the mean cross entropy of labelled pixels, written in TensorFlow."""

    def loss_of(variables, images, labels):
        mixed = mixtures(variables["architecture"], edge_mask(CONFIG.num_layers))
        logits, statistics = program.supernet(variables["weights"], mixed["alphas"], mixed["betas"], images)
        logits = tf.raw_ops.ResizeBilinear(images=logits, size=labels.shape[1:], align_corners=True)
        labelled = labels != IGNORED
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[labelled], logits[labelled])
        return tf.reduce_mean(losses), statistics

    def run(state, batch):
        variables = {name: state[name] for name in ("architecture", "weights")}
        result = value_and_gradient(loss_of)(tf.nest.map_structure(tf.constant, variables), *batch)
        return tf.nest.map_structure(np.asarray, result)

    return run


@pytest.fixture(scope="module")
def fitted(program, batches):
    """(State, losses) of 40 steps of the weights on one batch."""
    state, losses = program.initial_state(), []
    for _ in range(40):
        state, loss = program.train_weights(state, *batches[0], rate=0.05)
        losses.append(float(loss))
    return state, losses


def _arrays(state):
    return tf.nest.map_structure(np.array, state)


def test_weights_take_steps_of_sgd_with_momentum(program, batches, loss_and_gradient):
    state = program.initial_state()
    weights, statistics, momentum = (np.array(state[name]) for name in WEIGHT_STATE)
    for batch, rate in zip(batches, (0.1, 0.02), strict=True):
        (loss, found), gradients = loss_and_gradient(_arrays(state), batch)
        state, own_loss = program.train_weights(state, *batch, rate)
        momentum = 0.9 * momentum + gradients["weights"] + 0.01 * weights
        weights = weights - rate * momentum
        statistics = 0.8 * statistics + 0.2 * found
        np.testing.assert_allclose(own_loss, loss, rtol=1e-5)
        np.testing.assert_allclose(state["accumulators"], momentum, atol=2e-5)
        np.testing.assert_allclose(state["weights"], weights, atol=2e-6)
        np.testing.assert_allclose(state["statistics"], statistics, rtol=1e-5, atol=1e-5)


def test_alphas_and_betas_take_steps_of_adam_on_the_decayed_gradient(program, batches, loss_and_gradient, fitted):
    state = {**program.initial_state(), "weights": fitted[0]["weights"]}
    variables = {name: keras.Variable(values) for name, values in state["architecture"].items()}
    adam = keras.optimizers.Adam(3e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    for step in range(3):
        adam.epsilon = 1e-8 * np.sqrt(1.0 - 0.999 ** (step + 1))  # Keras adds it before the moment is corrected
        batch = batches[step % 2]
        (loss, _), gradients = loss_and_gradient(_arrays(state), batch)
        state, own_loss = program.train_architecture(state, *batch, step)
        decayed = [gradients["architecture"][name] + 0.1 * variables[name].numpy() for name in variables]
        adam.apply([tf.constant(each) for each in decayed], list(variables.values()))
        np.testing.assert_allclose(own_loss, loss, rtol=1e-5)
        for name, variable in variables.items():
            np.testing.assert_allclose(state["architecture"][name], variable, atol=2e-6, err_msg=name)
    assert np.median(np.abs(variables["alphas"])) > 1e-3  # three steps of at most 3e-3 each
    np.testing.assert_array_equal(state["architecture"]["betas"] == 0.0, ~edge_mask(CONFIG.num_layers))


def test_each_step_leaves_what_the_other_trains(program, batches):
    start = program.initial_state()
    before = _arrays(start)
    state, _ = program.train_architecture(start, *batches[1], 0)
    for name in WEIGHT_STATE:
        np.testing.assert_array_equal(state[name], before[name])
    for name in ARCHITECTURE_STATE:
        assert not np.array_equal(state[name]["alphas"], before[name]["alphas"])
    between = _arrays(state)
    state, _ = program.train_weights(state, *batches[0], 0.1)
    for name in ARCHITECTURE_STATE:
        tf.nest.map_structure(np.testing.assert_array_equal, _arrays(state)[name], between[name])
    for name in WEIGHT_STATE:
        assert not np.array_equal(state[name], between[name])


def test_each_step_sees_its_own_batch(program, batches):
    def trained(first, second):
        state, _ = program.train_weights(program.initial_state(), *first, 0.1)
        return _arrays(program.train_architecture(state, *second, 0)[0])

    one, other = trained(*batches), trained(*batches[::-1])
    assert not np.allclose(one["weights"], other["weights"], atol=1e-4)
    assert not np.allclose(one["first_moments"]["alphas"], other["first_moments"]["alphas"], rtol=0.1, atol=0.0)


def test_given_mixtures_stand_in_for_those_of_the_state(program, batches):
    start = program.initial_state()
    own = tf.nest.map_structure(np.asarray, program.mixtures(start))
    zeros = {"alphas": np.eye(8, dtype="float32")[[7, 7]], "betas": own["betas"]}
    found = [
        program.train_weights(program.initial_state(), *batches[0], 0.1, mixtures=mixed)[0]["accumulators"].numpy()
        for mixed in (None, own, zeros)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_one_batch_is_overfitted(fitted):
    losses = fitted[1]
    assert losses[0] == pytest.approx(np.log(CLASSES), abs=0.02)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_confusion_counts_labelled_pixels_with_the_moving_statistics(program, batches, fitted):
    state = fitted[0]
    images, labels = batches[0]
    counts = program.confusion(state, images, labels)
    mixed = program.mixtures(state)
    weights = plain_supernet.plain_weights(program.supernet, np.array(state["weights"]))
    norm = plain_supernet.BatchNorm(plain_supernet.plain_statistics(program.supernet, np.array(state["statistics"])))
    logits = plain_supernet.supernet(images, weights, mixed["alphas"], mixed["betas"], 1, 1, norm)
    classes = tf.raw_ops.ResizeBilinear(images=logits, size=(33, 33), align_corners=True).numpy().argmax(axis=-1)
    expected = np.zeros((CLASSES, CLASSES), "int64")
    labelled = labels != IGNORED
    np.add.at(expected, (labels[labelled], classes[labelled]), 1)
    assert counts.dtype == np.int64
    assert counts.sum() == 2 * 29 * 33
    assert np.abs(counts - expected).sum() <= 4  # ties in the last digit
    assert np.trace(counts) > 0.8 * counts.sum()


def test_initial_state_follows_the_seed(program):
    start, again = _arrays(program.initial_state()), _arrays(program.initial_state())
    tf.nest.map_structure(np.testing.assert_array_equal, start, again)
    other = SearchProgram(dataclasses.replace(CONFIG, seed=1), CLASSES, IGNORED, 50).initial_state()
    assert not np.array_equal(other["weights"], start["weights"])
    assert not np.array_equal(other["architecture"]["alphas"], start["architecture"]["alphas"])
    for name in ("statistics", "accumulators"):
        np.testing.assert_array_equal(other[name], start[name])
    assert not np.any(start["accumulators"])
