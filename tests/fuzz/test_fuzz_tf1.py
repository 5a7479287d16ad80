"""Damaged TensorFlow 1 checkpoints: the variables of the intact one, or a sentence; TensorFlow has checksums of all."""

import numpy as np
from mutations import mutated_bytes

from deeplab_dpc.checkpoint.tf1 import read_tf1_checkpoint, write_tf1_checkpoint

ARRAYS = {f"layer{i}/weights": np.arange(60, dtype=np.float32).reshape(3, 4, 5) + i for i in range(3)}
ARRAYS["logits/biases"] = np.arange(5, dtype=np.float32)
FILES = ("model.ckpt.index", "model.ckpt.data-00000-of-00001")


def test_variables_are_the_intact_ones_or_refused(fuzz, tmp_path):
    write_tf1_checkpoint(tmp_path / "model.ckpt", ARRAYS, step=7)
    intact = {name: (tmp_path / name).read_bytes() for name in FILES}

    def one(rng):
        damaged = FILES[int(rng.integers(2))]
        for name, data in intact.items():
            (tmp_path / name).write_bytes(mutated_bytes(rng, data) if name == damaged else data)
        read = read_tf1_checkpoint(str(tmp_path / "model.ckpt"))
        assert read.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(read[name], array)
        return "same"

    assert fuzz("TensorFlow 1 checkpoints", one)["refused"]
