"""Reading and writing of TensorFlow 1 checkpoints as NumPy arrays by name, for published checkpoints and for users of
DeepLab.
"""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from deeplab_dpc.checkpoint.published import meant_names
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, literal_path, require_space

GLOBAL_STEP = "global_step"
MOVING_AVERAGE = "/ExponentialMovingAverage"
# Variables that are not of the model: optimizer slots, beta powers, counters and moving averages.
TRAINING_STATE = re.compile(
    r"(.+/)?((Momentum|Adam|AdaM|AMSGrad|Adagrad|Adadelta|RMSProp|RMSprop|Ftrl)\w*|ExponentialMovingAverage"
    r"|beta[12]_power\w*|global_step|_CHECKPOINTABLE_OBJECT_GRAPH)"
)
STATE_FILE = "checkpoint"  # file beside the checkpoints with the name of the newest, for tf.train.latest_checkpoint
CELL_SUFFIX = ".cell.json"  # suffix of the file beside a checkpoint with its dense prediction cell
BYTES_PER_NAME = 300  # in the index, generously estimated


def is_training_state(name: str) -> bool:
    """Returns whether a checkpoint variable belongs to the optimizer or the training loop.

    >>> is_training_state("aspp0/weights/Momentum"), is_training_state("aspp0/weights")
    (True, False)
    """
    return TRAINING_STATE.fullmatch(name) is not None


def require_tf1_checkpoint(path: str) -> None:
    """Raises a UserError if there is no checkpoint with that prefix."""
    if not os.path.exists(f"{path}.index"):
        raise UserError(
            f"There is no checkpoint {path}: {path}.index does not exist; give the prefix shared by the .index and "
            f".data files, or the name of a published one{meant_names(path) or '.'}"
        )


def variable_shapes(path: str) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the model's variables in a checkpoint by name, without the training state.

    Args:
      path: prefix of the checkpoint, see read_tf1_checkpoint.

    Raises:
      UserError: if the checkpoint is absent or damaged.
    """
    with _reader(path) as reader:
        shapes = reader.get_variable_to_shape_map()
    return {name: tuple(shape) for name, shape in sorted(shapes.items()) if not is_training_state(name)}


def read_tf1_checkpoint(path: str, moving_averages: bool = False) -> dict[str, np.ndarray]:
    """Returns the model's variables in a checkpoint by name, without the training state.

    Args:
      path: prefix of the checkpoint, such as `model.ckpt` for model.ckpt.index and model.ckpt.data-*.
      moving_averages: bool, whether a variable NAME is read from NAME/ExponentialMovingAverage if that exists.

    Raises:
      UserError: if the checkpoint is absent, damaged, or contains no variable, or no requested moving average.
    """
    with _reader(path) as reader:
        stored = sorted(reader.get_variable_to_shape_map())
        averages = _moving_averages(stored) if moving_averages else {}
        sources = {name: name for name in stored if not is_training_state(name)} | averages
        arrays = {name: reader.get_tensor(source) for name, source in sources.items()}
    if moving_averages and not averages:
        raise UserError(
            f"The checkpoint {path} holds no moving averages (no variable ends in {MOVING_AVERAGE}); "
            "leave --restore_moving_averages out."
        )
    if not arrays:
        raise UserError(f"The checkpoint {path} holds no model variable.")
    return arrays


@contextlib.contextmanager
def _reader(path: str) -> Iterator[Any]:
    """Yields TensorFlow's reader; raises a UserError if there is no checkpoint, or if data read in the context is
    damaged.
    """
    import tensorflow as tf

    require_tf1_checkpoint(path)
    try:
        with literal_path(path) as prefix:
            yield tf.train.load_checkpoint(str(prefix))
    except MemoryError as error:  # TensorFlow trusts the sizes in a damaged index
        raise UserError(f"The checkpoint {path} cannot be read: it is damaged, or larger than the memory.") from error
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise UserError(f"The checkpoint {path} cannot be read, a file is damaged or incomplete: {reason}.") from error


def _moving_averages(stored: list[str]) -> dict[str, str]:
    """Returns the stored name of each variable's moving average, by the variable's name."""
    return {name.removesuffix(MOVING_AVERAGE): name for name in stored if name.endswith(MOVING_AVERAGE)}


def refuse_existing(prefix: str | os.PathLike[str]) -> None:
    """Raises a UserError if there is a checkpoint with that prefix."""
    if os.path.exists(f"{prefix}.index"):
        raise UserError(f"The checkpoint {prefix} exists ({prefix}.index); give another prefix, or remove it.")


def write_tf1_checkpoint(prefix: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], step: int) -> None:
    """Writes PREFIX.index and PREFIX.data-00000-of-00001 atomically.

    Args:
      prefix: prefix of the files. The state file `checkpoint` beside them is written too, if there is none yet.
      arrays: arrays by variable name.
      step: value of the int64 variable `global_step`.

    Raises:
      UserError: if a checkpoint with that prefix exists, or it cannot be written.
    """
    import tensorflow as tf

    refuse_existing(prefix)
    folder, name = pathlib.Path(prefix).parent, pathlib.Path(prefix).name
    require_space(folder, sum(array.nbytes + BYTES_PER_NAME for array in arrays.values()))
    values = {**arrays, GLOBAL_STEP: np.int64(step)}
    names = sorted(values)
    data = folder / f"{name}.data-00000-of-00001"
    try:
        # The index is renamed after the data, since the checkpoint exists as soon as its index does.
        with (
            atomic_path(folder / f"{name}.index") as partial_index,
            atomic_path(data) as partial_data,
            literal_path(partial_index.parent) as scratch,
        ):
            tf.raw_ops.SaveV2(
                prefix=str(scratch / "values"),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.constant(values[name]) for name in names],
            )
            os.replace(partial_index.with_name("values.index"), partial_index)
            os.replace(partial_index.with_name("values.data-00000-of-00001"), partial_data)
    except tf.errors.OpError as error:
        raise UserError(f"The checkpoint {prefix} cannot be written: {error.message.splitlines()[0]}") from error
    _write_state_file(folder, name)


def _write_state_file(folder: pathlib.Path, name: str) -> None:
    if not (folder / STATE_FILE).exists():
        quoted = json.dumps(name, ensure_ascii=False)
        with atomic_path(folder / STATE_FILE) as partial:
            partial.write_text(
                f"model_checkpoint_path: {quoted}\nall_model_checkpoint_paths: {quoted}\n", encoding="utf-8"
            )
