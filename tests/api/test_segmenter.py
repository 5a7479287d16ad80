"""The segmenter as a Keras model: built, trained, frozen, saved, loaded, cloned."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny_network import tiny_network

import deeplab_dpc
from deeplab_dpc import Segmenter, UserError
from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.models.predictor import Predictor

CLASSES = 3
SIZE = (30, 41)  # no side is a multiple of the stride plus 1
NETWORKS = {
    "cell": tiny_network(CLASSES),
    "decoder": dataclasses.replace(
        tiny_network(CLASSES),
        dense_prediction_cell=None,
        atrous_rates=(2,),
        aspp_convs_filters=4,
        decoder_output_stride=(4,),
        decoder_filters=4,
    ),
}


def _segmenter(name="cell", **arguments):
    keras.utils.set_random_seed(1)
    return Segmenter(**NETWORKS[name].to_json(), **arguments)


def _loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)


def _values(layer):
    return [keras.ops.convert_to_numpy(variable) for variable in layer.weights]


def _equal(before, after):
    return all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, *SIZE, 3), "uint8")


@pytest.fixture
def masks(rng):
    masks = rng.integers(0, CLASSES, (4, *SIZE))
    masks[:, :5] = 255
    return masks


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request):
    """A model that was trained for two steps with a frozen backbone, and its weights before."""
    rng = np.random.default_rng(0)
    model = _segmenter(request.param, class_names=("sky", "road", "car"), ignore_label=254)
    model.backbone.trainable = False
    metric = keras.metrics.MeanIoU(CLASSES, ignore_class=255, sparse_y_pred=False, name="miou")
    model.compile(keras.optimizers.SGD(0.1), _loss(), metrics=[metric])
    before = {part.name: _values(part) for part in model.layers}
    images, masks = rng.integers(0, 256, (4, *SIZE, 3), "uint8"), rng.integers(0, CLASSES, (4, *SIZE))
    history = model.fit(images, masks, batch_size=2, verbose=0)
    return model, before, history


def test_logits_have_the_size_of_the_images_and_are_those_of_the_predictor(images):
    model = _segmenter()
    logits = model.predict(images, verbose=0)
    assert (logits.shape, logits.dtype) == ((4, *SIZE, CLASSES), "float32")
    assert model.compute_output_shape((None, *SIZE, 3)) == (None, *SIZE, CLASSES)
    np.testing.assert_array_equal(logits.argmax(axis=-1), Predictor(model.network).predict_batch(images))


def test_plain_fit_trains_on_masks_and_leaves_frozen_parts_alone(trained):
    model, before, history = trained
    assert np.isfinite(history.history["loss"]).all()
    assert 0 <= history.history["miou"][0] <= 1
    unchanged = {part.name: _equal(before[part.name], _values(part)) for part in model.layers}
    assert unchanged.pop(model.backbone.name)  # the moving averages of its batch norm too
    assert not any(unchanged.values())


def test_ignored_pixels_have_no_part_in_the_loss(images, masks):
    model = _segmenter()
    model.compile(keras.optimizers.SGD(0.1), _loss())
    loss = model.evaluate(images, masks, batch_size=4, verbose=0)
    logits = model.predict(images, verbose=0)
    labelled = masks != 255
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(log_probabilities[labelled], masks[labelled][:, np.newaxis], axis=-1).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_fit_takes_tf_data(images, masks):
    import tensorflow as tf

    model = _segmenter()
    model.compile("adam", _loss())
    batches = tf.data.Dataset.from_tensor_slices((images, masks)).batch(2)
    assert np.isfinite(model.fit(batches, verbose=0, shuffle=False).history["loss"]).all()


def test_xla_is_left_out_on_tensorflow_which_it_makes_slow():
    model = _segmenter()
    model.compile("adam", _loss())
    assert model.jit_compile is (keras.backend.backend() == "jax")


def test_saved_model_is_the_same_when_it_is_loaded(trained, images, masks, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    assert (loaded.config, loaded.class_names, loaded.ignore_label) == (model.config, ("sky", "road", "car"), 254)
    assert [part.trainable for part in loaded.layers] == [part.trainable for part in model.layers]
    assert _equal(_values(loaded), _values(model))
    assert int(loaded.optimizer.iterations) == 2
    before = _values(loaded.backbone)
    loaded.fit(images, masks, batch_size=2, verbose=0)
    assert _equal(before, _values(loaded.backbone))


def test_file_with_a_loss_of_ones_own_predicts_without_it(images, tmp_path):
    def own_loss(truth, predicted):
        return keras.ops.mean(predicted) + 0.0 * keras.ops.cast(keras.ops.max(truth), predicted.dtype)

    model = _segmenter()
    model.compile("adam", own_loss)
    model.save(tmp_path / "model.keras")
    mask = deeplab_dpc.Predictor(tmp_path / "model.keras").predict(images[0]).mask
    np.testing.assert_array_equal(mask, deeplab_dpc.Predictor(model).predict(images[0]).mask)
    with pytest.raises(UserError, match="cannot be loaded .*import the module that registers it before"):
        Segmenter.from_preset(tmp_path / "model.keras")


def test_weights_alone_are_saved_and_loaded(trained, images, tmp_path):
    model, _, _ = trained
    model.save_weights(tmp_path / "model.weights.h5")
    other = Segmenter.from_config(model.get_config())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.predict(images, verbose=0), model.predict(images, verbose=0))


def test_clone_has_the_same_network_and_fresh_weights(trained):
    model, _, _ = trained
    clone = keras.models.clone_model(model)
    assert isinstance(clone, Segmenter)
    assert clone.get_config() == model.get_config()
    assert not clone.backbone.trainable
    assert not _equal(_values(clone), _values(model))
    clone.set_weights(model.get_weights())
    assert _equal(_values(clone), _values(model))


def test_single_layers_stay_frozen_too():
    model = _segmenter()
    frozen = model.head.branches[0]
    frozen.trainable = False
    clone = Segmenter.from_config(model.get_config())
    assert model.get_config()["frozen"] == [f"{model.head.name}/{frozen.name}"]
    paths = [[variable.path for variable in one.trainable_variables] for one in (clone, model)]
    assert paths[0] == paths[1]
    assert len(paths[0]) < len(_segmenter().trainable_variables)


def test_segmenter_is_a_part_of_other_models(images, tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Softmax()(_segmenter()(inputs)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    probabilities = loaded.predict(images, verbose=0)
    np.testing.assert_array_equal(probabilities, model.predict(images, verbose=0))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)


def test_half_precision_is_kept_and_does_not_leak():
    model = _segmenter(dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    for one in (model, Segmenter.from_config(model.get_config())):
        assert one.head.dtype_policy.name == "mixed_bfloat16"
        assert {variable.dtype for variable in one.network.weights} == {"float32"}
    assert model.predict(np.zeros((1, 33, 33, 3), "uint8"), verbose=0).dtype == "float32"


@pytest.mark.parametrize(("steps", "decay"), [(1000, 0.99), (100, 0.9), (10**6, 0.9997)])
def test_moving_averages_are_for_the_length_of_the_training(steps, decay):
    model = _segmenter(training_steps=steps)
    for one in (model, Segmenter.from_config(model.get_config())):
        assert one.head.batch_norm_decay == pytest.approx(decay)


def test_summary_shows_the_parts():
    lines = []
    _segmenter("decoder").summary(print_fn=lines.append, line_length=100)
    text = "\n".join(lines)
    assert all(name in text for name in ("AutoDeepLab", "ASPP", "Decoder", "Logits", "(None, None, None, 3)"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_stride": 7, "model_variant": "mobilenet_v2"}, r"`output_stride` must be one of \(8, 16, 32\), got 7"),
        ({"num_classes": 0}, "`num_classes` must be greater than 0, got 0"),
        ({"model_variant": "nix"}, "`model_variant='nix'` is not known; choose one of auto_deeplab"),
        ({"dense_prediction_cell": "nix"}, "'nix' is neither a cell file nor a cell that ships"),
        ({"class_names": ["a"]}, "`class_names` must be 3 names, got 1"),
        ({"palette": [(0, 0, 0)]}, "`palette` in the arguments must have one colour per class: 3, got 1"),
    ],
)
def test_mistakes_are_sentences_about_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        Segmenter(**{"num_classes": CLASSES, **arguments})


def test_option_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="There is no option 'depth'"):
        Segmenter(num_classes=3, depth=1)


def test_tensorflow_1_checkpoint_is_a_preset(images, write_tf1_checkpoint, tmp_path):
    model = _segmenter()
    prefix = write_tf1_checkpoint(tmp_path / "model.ckpt", named_arrays(model.network))
    options = model.config.to_json()
    loaded = Segmenter.from_preset(prefix, classes="sky,road,car", **options)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    assert loaded.class_names == ("sky", "road", "car")
    with pytest.raises(UserError, match="pass it with `dense_prediction_cell`"):
        Segmenter.from_preset(prefix, genotype=options["genotype"])
    told = {name: options[name] for name in ("genotype", "dense_prediction_cell")}
    assert Segmenter.from_preset(prefix, **told).config == model.config
    with pytest.raises(UserError, match=f"^(?!.*--).*{prefix}"):
        Segmenter.from_preset(prefix, **{**options, "num_classes": 4})
