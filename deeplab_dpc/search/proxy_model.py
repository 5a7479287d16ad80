"""The network of the proxy task: a cell and the logits on a frozen backbone's features (arXiv:1809.04184, Sec. 3.3)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.segmenter import Logits, build_head


class ProxyModel(keras.Model):
    """Cached features [batch, h, w, channels] -> logits [batch, h, w, classes].

    Args:
      config: the network that the cell belongs to.
      steps: of its training.
      loss: of (targets, logits); a function, since targets may have several parts.
    """

    def __init__(self, config: ModelConfig, steps: int, loss: Callable[[Any, Any], Any], **kwargs: Any):
        super().__init__(**kwargs)
        self._loss_function = loss
        self.head = build_head(config, steps)
        self.logits = Logits(config.num_classes)

    def build(self, input_shape):
        self.head.build(input_shape)
        self.logits.build(self.head.compute_output_shape(input_shape))

    def call(self, features, training=False):
        return self.logits(self.head(ops.cast(features, "float32"), training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self._loss_function(y, y_pred) + sum(self.losses)


class ProxyClasses(keras.Model):
    """Class ids [batch, height, width] at the labels' size.

    Args:
      proxy: the trained model.
      size: (height, width) of the labels in pixels.
    """

    def __init__(self, proxy: ProxyModel, size: tuple[int, int]):
        super().__init__(name="classes")
        self.jit_compile = kernels.JIT_COMPILE
        self.proxy = proxy
        self.size = size
        self.built = True

    def call(self, features):
        logits = self.proxy(features, training=False)
        return ops.argmax(kernels.resize_align_corners(logits, *self.size), axis=-1)
