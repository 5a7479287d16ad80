"""TensorFlow 1 checkpoints as files: what is read of them, and that writing is exact, whole or not at all."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.checkpoint import tf1
from deeplab_dpc.checkpoint.tf1 import is_training_state, read_tf1_checkpoint, write_tf1_checkpoint
from deeplab_dpc.errors import UserError

ARRAYS = {
    "aspp0/weights": np.arange(24, dtype="float32").reshape(1, 1, 4, 6) / 7,
    "aspp0/BatchNorm/beta": np.array([0.0, -0.0, np.nan, np.inf, 1e-45, 3.4e38], "float32"),
    "scalar": np.float32(0.1),
}


@pytest.fixture
def prefix(tmp_path):
    """A checkpoint at step 7."""
    write_tf1_checkpoint(tmp_path / "model.ckpt", ARRAYS, step=7)
    return tmp_path / "model.ckpt"


def _bytes(arrays):
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def test_what_is_written_is_read_bit_by_bit(prefix):
    assert _bytes(read_tf1_checkpoint(str(prefix))) == _bytes(ARRAYS)


def test_tensorflow_finds_the_checkpoint_and_its_step(prefix):
    assert tf.train.latest_checkpoint(str(prefix.parent)) == str(prefix)
    step = tf.train.load_variable(str(prefix), "global_step")
    assert (step.dtype, step) == (np.int64, 7)
    files = {path.name for path in prefix.parent.iterdir()}
    assert files == {"checkpoint", "model.ckpt.index", "model.ckpt.data-00000-of-00001"}


def test_state_file_that_is_there_stays(prefix):
    write_tf1_checkpoint(prefix.with_name("second"), ARRAYS, step=8)
    assert tf.train.latest_checkpoint(str(prefix.parent)) == str(prefix)


def test_existing_checkpoint_is_not_overwritten(prefix):
    with pytest.raises(UserError, match=r"model\.ckpt exists .*give another prefix"):
        write_tf1_checkpoint(prefix, {"scalar": np.float32(2)}, step=9)
    assert tf.train.load_variable(str(prefix), "global_step") == 7


def test_prefix_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tf1_checkpoint("model.ckpt", ARRAYS, step=0)
    assert set(read_tf1_checkpoint("model.ckpt")) == set(ARRAYS)


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(prefix, **arguments):
        (tmp_path / "seen").write_text(prefix)
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.raw_ops, "SaveV2", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*model\.ckpt"):
        write_tf1_checkpoint(tmp_path / "model.ckpt", ARRAYS, step=1)
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


def test_kill_before_the_index_leaves_no_checkpoint_and_may_be_repeated(tmp_path, monkeypatch):
    replace = tf1.os.replace

    def die_at_the_index(source, target):
        if target == tmp_path / "model.ckpt.index":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(tf1.os, "replace", die_at_the_index)
        with pytest.raises(KeyboardInterrupt):
            write_tf1_checkpoint(tmp_path / "model.ckpt", ARRAYS, step=1)
    assert [path.name for path in tmp_path.iterdir()] == ["model.ckpt.data-00000-of-00001"]
    write_tf1_checkpoint(tmp_path / "model.ckpt", ARRAYS, step=1)
    assert set(read_tf1_checkpoint(str(tmp_path / "model.ckpt"))) == set(ARRAYS)


def test_full_disk_is_noticed_beforehand(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="cannot be written: it needs 0.0 MB"):
        write_tf1_checkpoint(tmp_path / "model.ckpt", ARRAYS, step=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("part", "length"), [("data-00000-of-00001", 50), ("index", 60), ("index", 0)])
def test_truncated_file_is_damaged(prefix, part, length):
    file = prefix.with_name(f"{prefix.name}.{part}")
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"model\.ckpt cannot be read, a file is damaged or incomplete: .*\.$") as error:
        read_tf1_checkpoint(str(prefix))
    assert len(str(error.value).splitlines()) == 1


def test_absent_file_is_named(prefix):
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match=r"model\.ckpt\.data-00000-of-00001"):
        read_tf1_checkpoint(str(prefix))
    with pytest.raises(UserError, match=r"nowhere\.index does not exist"):
        read_tf1_checkpoint(str(prefix.with_name("nowhere")))


@pytest.mark.parametrize(
    "name",
    [
        "global_step",
        "aspp0/weights/Momentum",
        "aspp0/weights/Adam",
        "aspp0/weights/Adam_1",
        "aspp0/BatchNorm/gamma/RMSProp_1",
        "aspp0/weights/ExponentialMovingAverage",
        "beta1_power",
        "optimizer/beta2_power",
        "_CHECKPOINTABLE_OBJECT_GRAPH",
    ],
)
def test_state_of_the_training_is_left_out(name):
    assert is_training_state(name)


@pytest.mark.parametrize("name", ["aspp0/weights", "aspp0/BatchNorm/beta", "Momentum/weights"])
def test_variables_of_the_model_are_kept(name):
    assert not is_training_state(name)


def test_moving_averages_come_first_where_they_exist(tmp_path, write_tf1_checkpoint):
    stored = {
        "a/weights": np.float32(1),
        "a/weights/ExponentialMovingAverage": np.float32(10),
        "a/weights/RMSProp": np.float32(100),
        "b/weights": np.float32(2),
        "only/ExponentialMovingAverage": np.float32(30),
    }
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", stored)
    assert read_tf1_checkpoint(path) == {"a/weights": 1, "b/weights": 2}
    assert read_tf1_checkpoint(path, moving_averages=True) == {"a/weights": 10, "b/weights": 2, "only": 30}


def test_checkpoint_without_moving_averages_says_so(prefix):
    with pytest.raises(
        UserError, match="^The checkpoint [^ ]* holds no moving averages .*leave --restore_moving_averages out"
    ):
        read_tf1_checkpoint(str(prefix), moving_averages=True)


def test_checkpoint_of_training_state_alone_holds_no_model(tmp_path, write_tf1_checkpoint):
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", {"global_step": np.int64(3)})
    with pytest.raises(UserError, match="holds no model variable"):
        read_tf1_checkpoint(path)
