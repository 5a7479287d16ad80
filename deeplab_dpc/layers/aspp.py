"""Atrous spatial pyramid pooling (Chen et al., 2017, arXiv:1706.05587, Sec. 3.3; separable: arXiv:1802.02611)."""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers.conv import ConvBN, SplitSeparableConvBN
from deeplab_dpc.layers.pooling import GridPyramidPooling


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ASPP(keras.layers.Layer):
    """Image pooling, a 1x1 convolution and atrous separable convolutions side by side, concatenated and projected.

    [batch, height, width, channels] -> [batch, height, width, filters]; dropout comes after the projection.

    Args:
      atrous_rates: rates in feature-map cells, one 3x3 branch each; empty for none (the published MobileNetV2 models).
      add_image_level_feature: whether the image pooling branch exists.
      filters: channels of each branch and of the output.
      dropout: fraction dropped, in [0, 1).
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.

    Raises:
      ValueError: if a rate is less than 1.
    """

    def __init__(
        self,
        atrous_rates: tuple[int, ...] = (),
        add_image_level_feature: bool = True,
        filters: int = 256,
        dropout: float = 0.1,
        batch_norm_decay: float = 0.9997,
        batch_norm_epsilon: float = 1e-5,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if any(rate < 1 for rate in atrous_rates):
            raise ValueError(f"`atrous_rates` must all be >= 1, got {tuple(atrous_rates)}.")
        self.atrous_rates = tuple(atrous_rates)
        self.add_image_level_feature = add_image_level_feature
        self.filters = filters
        self.dropout_rate = dropout
        self.batch_norm_decay = batch_norm_decay
        self.batch_norm_epsilon = batch_norm_epsilon
        shared = {
            "batch_norm_decay": batch_norm_decay,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.branches: list[keras.layers.Layer] = []
        if add_image_level_feature:
            self.branches.append(GridPyramidPooling(filters, (1, 1), name="image_pooling", **shared))
        self.branches.append(ConvBN(filters, name="aspp0", **shared))
        for i, rate in enumerate(self.atrous_rates, start=1):
            self.branches.append(SplitSeparableConvBN(filters, (rate, rate), name=f"aspp{i}", **shared))
        self.projection = ConvBN(filters, name="concat_projection", **shared)
        self.dropout = keras.layers.Dropout(dropout)

    def build(self, input_shape):
        for branch in self.branches:
            branch.build(input_shape)
        self.projection.build((*input_shape[:-1], len(self.branches) * self.filters))

    def call(self, inputs, training=False):
        x = ops.concatenate([branch(inputs, training=training) for branch in self.branches], axis=-1)
        return self.dropout(self.projection(x, training=training), training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "atrous_rates": self.atrous_rates,
            "add_image_level_feature": self.add_image_level_feature,
            "filters": self.filters,
            "dropout": self.dropout_rate,
            "batch_norm_decay": self.batch_norm_decay,
            "batch_norm_epsilon": self.batch_norm_epsilon,
        }
