"""Mixed precision (Micikevicius et al., 2018, arXiv:1710.03740): activations of half the size, everything else in
float32.

Under any policy the layers keep in float32 what needs it: variables, batch norm statistics, sums over pixels, logits.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Makes networks that are constructed inside the context compute in `precision`: float32, bfloat16 or float16
    (TrainConfig).

    Raises:
      ValueError: if the precision is unknown.
    """
    if precision not in POLICIES:
        raise ValueError(f"`precision` must be one of {', '.join(POLICIES)}, got {precision!r}.")
    with dtype_policy(POLICIES[precision]):
        yield


@contextlib.contextmanager
def dtype_policy(policy: Any) -> Iterator[None]:
    """Makes a dtype policy of Keras, or the policy of that name, the default of layers constructed inside the
    context.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
