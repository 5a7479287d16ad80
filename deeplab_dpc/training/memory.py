"""What is said where the memory of a device is not enough for a training step."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.errors import UserError

EXHAUSTED = "RESOURCE_EXHAUSTED"  # how JAX begins its error, which has no class of its own


@contextlib.contextmanager
def exhausted_memory_named(config: TrainConfig, crop_size: tuple[int, int]) -> Iterator[None]:
    """Turns the backends' errors for exhausted memory into a UserError with the flags that need less.

    Args:
      config: of the training.
      crop_size: (height, width) in pixels.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and EXHAUSTED not in str(error):
            raise
        batch, parts = config.train_batch_size, config.gradient_accumulation_steps
        less = [] if config.precision == "bfloat16" else ["--precision=bfloat16"]
        less += [f"--gradient_accumulation_steps={n}" for n in range(parts + 1, batch + 1) if batch % n == 0][:1]
        raise UserError(
            f"The memory of the device is not enough for {batch // parts} image(s) of {crop_size[0]} x {crop_size[1]} "
            f"at a time; what needs less: {', '.join([*less, 'a smaller --train_crop_size', 'more devices'])}."
        ) from error
