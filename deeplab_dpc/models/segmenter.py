"""The segmentation network: backbone, context module (ASPP or a dense prediction cell), logits.

Source: DeepLabv3 (arXiv:1706.05587) and DPC (arXiv:1809.04184), as the published DeepLab builds them.
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.aspp import ASPP
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.models.backbones import backbone_class

LOGITS_STDDEV = 0.01
HEAD_BATCH_NORM_DECAY = 0.9997


class Logits(keras.layers.Layer):
    """1x1 convolution with bias to one channel per class, always in float32; `semantic` is its published name."""

    def __init__(self, num_classes: int, **kwargs: Any):
        kwargs.setdefault("name", "logits")
        super().__init__(**kwargs)
        self.semantic = keras.layers.Conv2D(
            num_classes,
            1,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=LOGITS_STDDEV),
            name="semantic",
            dtype="float32",
        )

    def build(self, input_shape):
        self.semantic.build(input_shape)

    def call(self, inputs):
        return self.semantic(ops.cast(inputs, "float32"))

    def compute_output_shape(self, input_shape):
        return self.semantic.compute_output_shape(input_shape)


def limited_decay(decay: float, training_steps: int | None) -> float:
    """The published decay, lowered so that moving averages span at most a tenth of a short training.

    With the published 0.9997 a run of 400 steps would end with statistics that are still those of the initialisation.
    From 33,334 steps on the value is the published one.
    """
    return decay if training_steps is None else min(decay, max(0.0, 1.0 - 10.0 / training_steps))


def build_head(config: ModelConfig, training_steps: int | None = None) -> keras.layers.Layer:
    """The context module: features [batch, h, w, channels] -> [batch, h, w, 256]."""
    decay = limited_decay(HEAD_BATCH_NORM_DECAY, training_steps)
    if config.dense_prediction_cell is not None:
        return DensePredictionCell(config.dense_prediction_cell, config.output_stride, batch_norm_decay=decay)
    return ASPP(config.atrous_rates, config.add_image_level_feature, batch_norm_decay=decay, name="aspp")


class Segmenter(keras.Model):
    """Images [batch, height, width, 3], values 0..255 -> logits [batch, h, w, num_classes] at the output stride.

    Args:
      config: the model's configuration.
      training_steps: length of the training, to limit the batch norm decay of short ones; None where not training.
    """

    def __init__(self, config: ModelConfig, training_steps: int | None = None, **kwargs: Any):
        kwargs.setdefault("name", "segmenter")
        super().__init__(**kwargs)
        self.config = config
        backbone = backbone_class(config.model_variant)
        self.backbone = backbone(
            output_stride=config.output_stride,
            depth_multiplier=config.depth_multiplier,
            batch_norm_decay=limited_decay(backbone.BATCH_NORM_DECAY, training_steps),
        )
        self.head = build_head(config, training_steps)
        self.logits = Logits(config.num_classes)

    def build(self, input_shape=(None, None, None, 3)):
        shape = input_shape
        for layer in (self.backbone, self.head, self.logits):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def features(self, images, training=False):
        """The backbone's features [batch, h, w, channels] for images with values 0..255."""
        return self.backbone(images * (2.0 / 255.0) - 1.0, training=training)

    def call(self, images, training=False):
        x = self.features(images, training=training)
        return self.logits(self.head(x, training=training))


def build_segmenter(config: ModelConfig, training_steps: int | None = None) -> Segmenter:
    """A Segmenter whose variables exist, for images of any size."""
    model = Segmenter(config, training_steps)
    model.build((None, None, None, 3))
    return model
