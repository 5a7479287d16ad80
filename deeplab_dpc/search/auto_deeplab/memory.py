"""The error of a search for which the memory of the device is not enough."""

import contextlib

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.training.memory import exhausted_memory_said


def exhausted_memory_named(
    config: AutoDeepLabConfig, crop_size: tuple[int, int]
) -> contextlib.AbstractContextManager[None]:
    """Turns the backends' errors for exhausted memory into a UserError that names the flags that need less.

    Args:
      config: configuration of the search.
      crop_size: (height, width) in pixels.
    """
    less = [] if config.rematerialize else ["--rematerialize"]
    less += [] if config.supernet_precision == "bfloat16" else ["--supernet_precision=bfloat16"]
    less += ["a smaller --search_batch_size"] if config.search_batch_size > 1 else []
    return exhausted_memory_said(
        f"The memory of the device is not enough for {config.search_batch_size} image(s) of "
        f"{crop_size[0]} x {crop_size[1]}, or of the evaluated size; options that need less: "
        f"{', '.join([*less, 'a smaller --train_crop_size', 'smaller images (--min_resize_value)'])}."
    )
