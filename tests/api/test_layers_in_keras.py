"""Our layers in a functional model of somebody else's."""

import keras
import numpy as np
import pytest

from deeplab_dpc import layers, load_cell

LAYERS = {
    "cell": lambda: layers.DensePredictionCell(load_cell("aspp"), output_stride=8, filters=4),
    "aspp": lambda: layers.ASPP((2, 3), filters=4),
    "separable": lambda: layers.SplitSeparableConvBN(4, rate=(1, 2)),
    "pooling": lambda: layers.GridPyramidPooling(4, grid=(2, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_trained_saved_and_loaded_in_a_functional_model(name, tmp_path, rng):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((33, 33, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(inputs)
    layer = LAYERS[name]()
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(layer(x)))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert model.jit_compile is (keras.backend.backend() == "jax")
    images = rng.normal(size=(2, 33, 33, 3)).astype("float32")
    before = layer.get_weights()
    model.fit(images, rng.integers(0, 2, (2, 9, 9)), verbose=0)
    assert not all(np.array_equal(one, other) for one, other in zip(before, layer.get_weights(), strict=True))
    model.save(tmp_path / "model.keras")
    for same in (keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        same.set_weights(model.get_weights())
        np.testing.assert_array_equal(same.predict(images, verbose=0), model.predict(images, verbose=0))
