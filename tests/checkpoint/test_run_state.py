"""Files of a run's checkpoint: no wrong byte goes unnoticed, and names of variables."""

import keras
import numpy as np
import pytest

from deeplab_dpc.checkpoint.run_state import (
    DamageError,
    Progress,
    read_arrays,
    read_progress,
    state_variables,
    write_arrays,
    write_progress,
)

ARRAYS = {"a/weights": np.array([[1.5, -2.0]], "float32"), "b": np.array(4), "c/biases": np.array([0.1, 7.0])}
PROGRESS = Progress(4, [{"step": 4, "loss": 0.123}], [{"step": 4, "miou": 0.5}])


def test_no_flipped_bit_of_arrays_is_read_as_something_else(tmp_path):
    path = tmp_path / "arrays.npz"
    write_arrays(path, ARRAYS)
    data = path.read_bytes()
    noticed = 0
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ (1 << i % 8)]) + data[i + 1 :])
        try:
            read = read_arrays(path)
        except DamageError:
            noticed += 1
            continue
        # Dates and attributes of files in the archive may be anything.
        assert read.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(read[name], array)
    assert noticed > 500


def test_no_flipped_bit_of_progress_is_read_as_something_else(tmp_path):
    path = tmp_path / "progress.json"
    write_progress(path, PROGRESS)
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ (1 << i % 8)]) + data[i + 1 :])
        try:
            assert read_progress(path) == PROGRESS
        except DamageError:
            continue


def test_every_truncation_of_arrays_is_noticed(tmp_path):
    path = tmp_path / "arrays.npz"
    write_arrays(path, ARRAYS)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DamageError, match=r"^arrays.npz"):
            read_arrays(path)


def test_state_without_arrays_is_whole(tmp_path):
    write_arrays(tmp_path / "random_states.npz", {})
    assert read_arrays(tmp_path / "random_states.npz") == {}


def _network():
    network = keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])
    network.build((None, 3))
    return network


def test_names_do_not_depend_on_how_keras_numbers_optimizers():
    network = _network()
    names = []
    for _ in range(2):
        optimizer = keras.optimizers.Adam()
        optimizer.build(network.trainable_variables)
        names.append({file: list(variables) for file, variables in state_variables(network, optimizer).items()})
    assert names[0] == names[1]
    assert names[0]["random_states.npz"] == ["0", "1"]
    assert len(names[0]["optimizer.npz"]) == 2 + 2 * 2  # iteration, rate, two moments of kernel and bias


def test_variables_of_one_name_are_refused():
    network = _network()
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build(network.trainable_variables)
    optimizer.add_variable((), name="iteration")
    with pytest.raises(ValueError, match="The variables of the optimizer sgd.* must have different names"):
        state_variables(network, optimizer)
