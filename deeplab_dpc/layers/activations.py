"""Activations by name: those of Keras, and the piecewise linear sigmoid of MobileNetV3 (arXiv:1905.02244, Sec. 5.2)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

QUANTIZED_SIGMOID_SLOPE = 0.16667  # one sixth to the digits that the published models were trained with


def quantized_sigmoid(x: Any) -> Any:
    """Returns relu6(x + 3) / 6, with the published constant."""
    return ops.relu6(x + 3.0) * QUANTIZED_SIGMOID_SLOPE


def activation(name: str | None) -> Callable[[Any], Any]:
    """Returns the activation of that name: 'quantized_sigmoid', a Keras name, or None for none."""
    return quantized_sigmoid if name == "quantized_sigmoid" else keras.activations.get(name)
