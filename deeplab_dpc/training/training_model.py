"""The network with its loss and optimizer, trained by fit with the published protocol (arXiv:1809.04184, Sec. 4)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.normalization import freeze_batch_norm_statistics
from deeplab_dpc.layers.types import Tensor
from deeplab_dpc.models.precision import precision_policy
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.optimizers import build_optimizer, gradient_multipliers, is_decayed
from deeplab_dpc.training.schedules import build_schedule

if keras.backend.backend() == "jax":
    from deeplab_dpc.training.jax_step import JaxStep as Step
else:
    from deeplab_dpc.training.tensorflow_step import TensorFlowStep as Step


class TrainingModel(Step):
    """The model that trains a network on (images [batch, height, width, 3] in 0..255, labels [batch, height, width]).

    The gradient is that of the loss plus weight_decay / 2 * |w|^2, multiplied per variable (biases by 2), and
    optionally clipped. A batch may be processed in pieces (gradient accumulation) and in replicas. The loss is that of
    the whole batch in either case, except for parts that are not a plain sum over pixels (see SegmentationLoss), and
    batch norm statistics are those of a piece on all replicas.

    Args:
      network: network to train; its trainable variables are taken at construction.
      loss: loss function of labels and logits.
      config: training configuration.
    """

    def __init__(self, network: Segmenter, loss: SegmentationLoss, config: TrainConfig, **kwargs: Any):
        kwargs.setdefault("name", "training")
        super().__init__(**kwargs)
        self.network = network
        self.built = True
        self.num_pieces = config.gradient_accumulation_steps
        self._loss = loss
        self._clip_norm = config.clip_gradient_norm
        self._drops_paths = config.drop_path_keep_prob < 1.0
        self._steps = config.training_number_of_steps
        variables = network.trainable_variables
        # AdamW applies the decay itself.
        decay = 0.0 if config.optimizer == "adamw" else config.weight_decay
        self._decays = [decay if is_decayed(variable) else 0.0 for variable in variables]
        self._multipliers = gradient_multipliers(
            network, config.last_layer_gradient_multiplier, config.last_layers_contain_logits_only
        )
        names = ["loss", *loss.part_names, *(["weight_decay"] if any(self._decays) else []), "gradient_norm"]
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}
        optimizer = build_optimizer(config, build_schedule(config), variables)
        optimizer.build(variables)
        self.compile(optimizer=optimizer, jit_compile=kernels.JIT_COMPILE)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        return self.network(images, training=training)

    def labelled_pixels(self, images: Tensor, labels: Tensor) -> Tensor:
        """Returns the number of pixels of a batch that count in the loss."""
        return self._loss.labelled_pixels(labels, self.network.logits_shape(images.shape)[1:3])

    def piece_parts(
        self, images: Tensor, labels: Tensor, step: Tensor, labelled_pixels: Tensor, share: float
    ) -> dict[str, Tensor]:
        """Returns the parts of the loss on a share of the batch, by name; their sum is the loss."""
        progress = ops.minimum(ops.cast(step, "float32") / self._steps, 1.0) if self._drops_paths else None
        logits = self.network(images, training=True, progress=progress)
        return self._loss.parts(labels, logits, step, labelled_pixels, share)

    def complete(
        self, gradients: Sequence[Tensor], parts: dict[str, Tensor], variables: Sequence[Tensor], scale: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Returns the gradients to apply and the tracked values, from the summed gradients of the scaled loss and the
        summed parts.
        """
        values = dict(parts)
        if any(self._decays):
            values["weight_decay"] = sum(
                decay / 2.0 * ops.sum(ops.square(variable))
                for decay, variable in zip(self._decays, variables, strict=True)
                if decay
            )
        complete = []
        for gradient, variable, decay, multiplier in zip(
            gradients, variables, self._decays, self._multipliers, strict=True
        ):
            decayed = gradient + (decay * scale) * variable if decay else gradient
            complete.append(decayed if multiplier == 1.0 else decayed * multiplier)
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient / scale)) for gradient in complete))
        if self._clip_norm:
            factor = self._clip_norm / ops.maximum(norm, self._clip_norm)
            complete = [gradient * factor for gradient in complete]
        return complete, {"loss": sum(values.values()), **values, "gradient_norm": norm}

    def tracked(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adds a step's values to the metrics; returns their means since the last reset."""
        for name, tracker in self._trackers.items():
            tracker.update_state(values[name])
        return {name: tracker.result() for name, tracker in self._trackers.items()}


def build_training_model(model_config: ModelConfig, config: TrainConfig, ignore_label: int) -> TrainingModel:
    """Returns a network with fresh weights, ready to be trained.

    Raises:
      UserError: if the configurations are not compatible.
    """
    loss = SegmentationLoss(
        ignore_label,
        label_weights=config.label_weights,
        upsample_logits=config.upsample_logits,
        top_k_percent_pixels=config.top_k_percent_pixels,
        hard_example_mining_step=config.hard_example_mining_step,
        focal_loss_weight=config.focal_loss_weight,
        focal_loss_gamma=config.focal_loss_gamma,
        dice_loss_weight=config.dice_loss_weight,
        quadrature_nodes=config.loss_quadrature_nodes,
    )
    loss.check_classes(model_config.num_classes)
    with precision_policy(config.precision):
        network = build_segmenter(model_config, config.planned_steps, config.drop_path_keep_prob)
    if config.freeze_backbone:
        network.backbone.trainable = False
    if not config.fine_tune_batch_norm:
        freeze_batch_norm_statistics(network)
    elif not config.fine_tune_backbone_batch_norm:
        freeze_batch_norm_statistics(network.backbone)
    return TrainingModel(network, loss, config)
