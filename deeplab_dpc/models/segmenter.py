"""The segmentation network: backbone, context module (ASPP or a dense prediction cell), decoder, logits.

Source: DeepLabv3 (arXiv:1706.05587), DeepLabv3+ (arXiv:1802.02611) and DPC (arXiv:1809.04184), as the published DeepLab
builds them.
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.aspp import ASPP
from deeplab_dpc.layers.composite import Composite
from deeplab_dpc.layers.conv import BiasedConv
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.layers.types import Shape, Tensor
from deeplab_dpc.models.backbones import backbone_class
from deeplab_dpc.models.decoder import Decoder

LOGITS_STDDEV = 0.01
HEAD_BATCH_NORM_DECAY = 0.9997


class Logits(Composite):
    """1x1 convolution with bias to one channel per class, always in float32; `semantic` is its published name.

    [batch, height, width, channels] -> [batch, height, width, num_classes]
    """

    def __init__(self, num_classes: int, **kwargs: Any):
        kwargs.setdefault("name", "logits")
        super().__init__(**kwargs)
        initializer = keras.initializers.TruncatedNormal(stddev=LOGITS_STDDEV)
        self.semantic = BiasedConv(num_classes, initializer=initializer, name="semantic", dtype="float32")

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        return [(self.semantic, input_shape)]

    def call(self, inputs: Tensor) -> Tensor:
        return self.semantic(ops.cast(inputs, "float32"))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.semantic.compute_output_shape(input_shape)


def limited_decay(decay: float, training_steps: int | None) -> float:
    """Returns the published decay, lowered so that moving averages span at most a tenth of a short training.

    With the published 0.9997 a run of 400 steps would end with statistics that are still those of the initialisation.
    From 33,334 steps on the value is the published one.
    """
    return decay if training_steps is None else min(decay, max(0.0, 1.0 - 10.0 / training_steps))


def build_head(config: ModelConfig, training_steps: int | None = None) -> DensePredictionCell | ASPP:
    """Returns the context module: features [batch, h, w, channels] -> [batch, h, w, filters]."""
    decay = limited_decay(HEAD_BATCH_NORM_DECAY, training_steps)
    if config.dense_prediction_cell is not None:
        return DensePredictionCell(config.dense_prediction_cell, config.output_stride, batch_norm_decay=decay)
    window: tuple[int, int] | None = None
    if config.image_pooling_crop_size:
        height, width = ((side - 1) // config.output_stride + 1 for side in config.image_pooling_crop_size)
        window = (height, width)
    return ASPP(
        config.atrous_rates,
        config.add_image_level_feature,
        config.aspp_convs_filters,
        image_pooling_window=window,
        image_pooling_strides=config.image_pooling_stride,
        separable=config.aspp_with_separable_conv,
        concat_projection=config.aspp_with_concat_projection,
        squeeze_and_excitation=config.aspp_with_squeeze_and_excitation,
        quantized_sigmoid=config.image_se_uses_qsigmoid,
        batch_norm_decay=decay,
        name="aspp",
    )


def _build_decoder(config: ModelConfig, training_steps: int | None) -> Decoder | None:
    if not config.decoder_output_stride:
        return None
    return Decoder(
        config.decoder_output_stride,
        config.decoder_filters,
        separable=config.decoder_use_separable_conv,
        sum_merge=config.decoder_use_sum_merge,
        output_is_logits=config.decoder_output_is_logits,
        batch_norm_decay=limited_decay(HEAD_BATCH_NORM_DECAY, training_steps),
    )


class Segmenter(keras.Model):
    """The segmentation network: images [batch, height, width, 3], values 0..255 -> logits [batch, h, w, num_classes].

    The logits are at the decoder's last stride, or at the output stride without a decoder.

    Args:
      config: the model's configuration.
      training_steps: number of training steps, which limits the batch norm decay of short trainings; None outside
        training.
      drop_path_keep_prob: probability that the backbone's last residual unit is kept in training, see the backbone.

    Raises:
      UserError: if the backbone does not support what the configuration asks for.
    """

    def __init__(
        self,
        config: ModelConfig,
        training_steps: int | None = None,
        drop_path_keep_prob: float = 1.0,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "segmenter")
        # Under a half precision policy Keras would round the images before they are normalised.
        super().__init__(autocast=False, **kwargs)
        self.config = config
        backbone = backbone_class(config.model_variant)
        decay = limited_decay(backbone.BATCH_NORM_DECAY, training_steps)
        self.backbone = backbone.from_model_config(config, decay, drop_path_keep_prob)
        self.head = build_head(config, training_steps)
        self.decoder = _build_decoder(config, training_steps)
        self.logits = None if config.decoder_output_is_logits else Logits(config.num_classes)

    def steps(self, input_shape: Any) -> list[tuple[Any, Any]]:
        """Returns the parts, each with the shape of its input, in order."""
        features, low_level = self.backbone.compute_output_shape(input_shape)
        steps: list[tuple[Any, Any]] = [(self.backbone, input_shape), (self.head, features)]
        shape = self.head.compute_output_shape(features)
        if self.decoder is not None:
            steps.append((self.decoder, (shape, low_level)))
            shape = self.decoder.compute_output_shape((shape, low_level))
        if self.logits is not None:
            steps.append((self.logits, shape))
        return steps

    def build(self, input_shape: Shape = (None, None, None, 3)) -> None:
        for layer, shape in self.steps(input_shape):
            layer.build(shape)
        self.built = True

    def features(self, images: Tensor, training: bool = False) -> Tensor:
        """Returns the backbone's features [batch, h, w, channels] for images with values 0..255."""
        return self._backbone_outputs(images, training)[0]

    def features_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the backbone's features for images of that shape."""
        return self.backbone.compute_output_shape(input_shape)[0]

    def logits_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the logits for images of that shape."""
        last, shape = self.steps(input_shape)[-1]
        return last.compute_output_shape(shape)

    def _backbone_outputs(
        self, images: Tensor, training: bool, progress: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        normalised = self.backbone.normalised(ops.cast(images, "float32"))
        outputs: tuple[Tensor, tuple[Tensor, ...]] = self.backbone(normalised, training=training, progress=progress)
        return outputs

    def call(self, images: Tensor, training: bool = False, progress: Tensor | None = None) -> Tensor:
        """Returns the logits; `progress` is the fraction of the training that is done, in [0, 1], for scheduled drop
        path.
        """
        features, low_level = self._backbone_outputs(images, training, progress)
        x = self.head(features, training=training)
        if self.decoder is not None:
            x = self.decoder((x, low_level), image_size=ops.shape(images)[1:3], training=training)
        return x if self.logits is None else self.logits(x)


def build_segmenter(
    config: ModelConfig, training_steps: int | None = None, drop_path_keep_prob: float = 1.0
) -> Segmenter:
    """Returns a built Segmenter, for images of any size.

    Args:
      config, training_steps, drop_path_keep_prob: see Segmenter.

    Raises:
      UserError: if the backbone does not support what the configuration asks for.
    """
    model = Segmenter(config, training_steps, drop_path_keep_prob)
    model.build((None, None, None, 3))
    return model
