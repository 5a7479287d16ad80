"""Reading published TensorFlow 1 checkpoints as NumPy arrays by name."""

import os

import numpy as np

from deeplab_dpc.errors import UserError

# What a training leaves beside the model's own variables.
TRAINING_STATE = ("Momentum", "Adam", "Adam_1", "RMSProp", "RMSProp_1", "ExponentialMovingAverage")


def is_training_state(name: str) -> bool:
    """Whether a checkpoint variable belongs to the optimizer or the training loop."""
    return name.rsplit("/", 1)[-1] in TRAINING_STATE or name in ("global_step", "_CHECKPOINTABLE_OBJECT_GRAPH")


def read_tf1_checkpoint(path: str) -> dict[str, np.ndarray]:
    """The model's variables of a checkpoint, without those of its training.

    Args:
      path: the checkpoint's prefix, as in `model.ckpt` for model.ckpt.index and model.ckpt.data-*.

    Raises:
      UserError: if it is absent, damaged, or holds no variable.
    """
    import tensorflow as tf

    if not os.path.exists(f"{path}.index"):
        raise UserError(
            f"There is no checkpoint {path}: {path}.index does not exist; "
            "give the prefix shared by the .index and .data files."
        )
    try:
        reader = tf.train.load_checkpoint(path)
        names = [name for name in reader.get_variable_to_shape_map() if not is_training_state(name)]
        arrays = {name: reader.get_tensor(name) for name in sorted(names)}
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        first_line = str(error).splitlines()[0]
        raise UserError(f"The checkpoint {path} cannot be read: {first_line}") from error
    if not arrays:
        raise UserError(f"The checkpoint {path} holds no model variable.")
    return arrays
