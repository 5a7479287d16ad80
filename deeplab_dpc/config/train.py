"""The configuration of a training, and of its initial weights."""

import dataclasses
from typing import Any, ClassVar

from deeplab_dpc.config.base import Choices, Config, finite, no_negative_weight, not_negative, positive, valid_seed
from deeplab_dpc.errors import UserError

MOMENTUM, ADAM, _ = OPTIMIZERS = ("momentum", "adam", "adamw")
LEARNING_POLICIES = ("poly", "step", "cosine")
BURNIN_TYPES = ("none", "linear")
FLOAT32, BFLOAT16, _ = PRECISIONS = ("float32", "bfloat16", "float16")
FALLING = 5  # The learning rate falls to 0 in the last 1 / FALLING of the steps before early_end_step.


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """The training protocol, by default SGD with momentum and the poly policy (arXiv:1809.04184, Sec. 4).

    Attributes:
      training_number_of_steps: number of training steps.
      train_batch_size: number of images per batch, on all devices together.
      gradient_accumulation_steps: number of parts in which the gradient of a batch is computed, one after another, to
        save memory.
      optimizer: momentum (SGD), adam, or adamw (decoupled weight decay).
      momentum: momentum of SGD.
      adam_epsilon: epsilon of Adam and AdamW.
      learning_policy: decay of the learning rate: poly, step or cosine.
      base_learning_rate: learning rate at the first step (after the slow start).
      learning_power: exponent of the poly policy.
      end_learning_rate: learning rate at the last step of the poly and cosine policies.
      learning_rate_decay_step: number of steps between two decays of the step policy.
      learning_rate_decay_factor: factor of each decay of the step policy.
      slow_start_step: number of steps of the slow start; 0 for none.
      slow_start_learning_rate: learning rate of the slow start; if it is linear, that of its first step.
      slow_start_burnin_type: rate of the slow start: none (constant) or linear (rising to the base rate); by default
        linear for the cosine policy, else none.
      weight_decay: factor of half the squared norm of every kernel except the depthwise ones, which is added to the
        loss.
      clip_gradient_norm: largest norm of the gradient of all variables together; 0 for no clipping.
      last_layer_gradient_multiplier: factor of the gradients of the last layers.
      last_layers_contain_logits_only: whether the last layers are only the logits; otherwise they include the context
        module and decoder.
      upsample_logits: whether logits are upsampled to the size of the labels for the loss; otherwise labels are sampled
        at the size of the logits.
      label_weights: weight of each class in the cross entropy; empty for weights of 1.
      top_k_percent_pixels: share of the pixels of a batch, the hardest ones, that count in the loss, in (0, 1].
      hard_example_mining_step: step until which the share of pixels that count falls linearly from 1 to
        top_k_percent_pixels; 0 to mine from the start.
      focal_loss_weight: weight of the focal loss, which is added to the cross entropy.
      focal_loss_gamma: exponent of the focal loss.
      dice_loss_weight: weight of the dice loss, which is added to the cross entropy.
      loss_quadrature_nodes: number of nodes per axis and cell between the logits at which the cross entropy is computed
        instead of at every pixel, to save time and memory; 0 for the exact loss.
      fine_tune_batch_norm: whether batch norm uses the statistics of the batch and updates its moving averages; if not,
        the statistics are frozen, while gamma and beta train.
      fine_tune_backbone_batch_norm: whether fine_tune_batch_norm includes the backbone; if not, the statistics of the
        backbone are those of the initial checkpoint, which makes a step faster.
      freeze_backbone: whether the backbone is frozen, so that only the context module, decoder and logits train.
      drop_path_keep_prob: probability that the backbone's last residual unit is kept, higher for the units before it; 1
        to keep all. For an Auto-DeepLab, it is the probability that an operator of the last cell is kept at the end of
        the training, higher in earlier cells and at earlier steps.
      precision: precision of the activations: float32, bfloat16 or float16 (with loss scaling); variables, statistics,
        logits and loss are float32.
      tf_initial_checkpoint: initial weights: prefix or name of a published checkpoint (docs/weights.md), an earlier
        run, or `imagenet` for the MobileNetV2 of Keras; by default, the training starts from scratch.
      fork_from: run directory whose weights, optimizer state and step this run continues with other flags; by default,
        the run starts anew.
      restore_moving_averages: whether the moving averages of the variables in tf_initial_checkpoint are restored
        instead of the variables.
      initialize_last_layer: whether the last layers are restored too, if their shapes agree.
      save_interval_steps: number of steps between two checkpoints.
      log_steps: number of steps between two rows of metrics.csv.
      eval_interval_steps: number of steps between two evaluations (the best checkpoint is kept); by default a tenth of
        the training, 0 for no evaluations.
      eval_split: split to evaluate.
      early_stopping_patience: number of consecutive evaluations without a better mIOU after which the training ends
        early: the learning rate falls to 0 within a fifth of the steps done so far; 0 for never.
      time_limit: seconds from its start in which the training should end: if its steps take longer than that allows,
        their number is reduced, and the learning rate falls to 0 at the new end; 0 for no limit.
      early_end_step: step at which the training ends, before training_number_of_steps, whose learning rates it has
        until they fall linearly to 0 in the last fifth of its steps; fork_from such a run continues from the step
        before that fall, as if it had not ended; 0 for none.
      seed: seed of initialisation, order, augmentation and dropout.
    """

    CHOICES: ClassVar[Choices] = {
        "optimizer": OPTIMIZERS,
        "learning_policy": LEARNING_POLICIES,
        "slow_start_burnin_type": BURNIN_TYPES,
        "precision": PRECISIONS,
    }

    training_number_of_steps: int = 30000
    train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    optimizer: str = "momentum"
    momentum: float = 0.9
    adam_epsilon: float = 1e-8
    learning_policy: str = "poly"
    base_learning_rate: float = 0.01
    learning_power: float = 0.9
    end_learning_rate: float = 0.0
    learning_rate_decay_step: int = 2000
    learning_rate_decay_factor: float = 0.1
    slow_start_step: int = 0
    slow_start_learning_rate: float = 1e-4
    slow_start_burnin_type: str | None = None
    weight_decay: float = 4e-5
    clip_gradient_norm: float = 0.0
    last_layer_gradient_multiplier: float = 1.0
    last_layers_contain_logits_only: bool = False
    upsample_logits: bool = True
    label_weights: tuple[float, ...] = ()
    top_k_percent_pixels: float = 1.0
    hard_example_mining_step: int = 0
    focal_loss_weight: float = 0.0
    focal_loss_gamma: float = 2.0
    dice_loss_weight: float = 0.0
    loss_quadrature_nodes: int = 0
    fine_tune_batch_norm: bool = True
    fine_tune_backbone_batch_norm: bool = True
    freeze_backbone: bool = False
    drop_path_keep_prob: float = 1.0
    precision: str = "float32"
    tf_initial_checkpoint: str | None = None
    fork_from: str | None = None
    restore_moving_averages: bool = False
    initialize_last_layer: bool = True
    save_interval_steps: int = 500
    log_steps: int = 50
    eval_interval_steps: int | None = None
    eval_split: str = "val"
    early_stopping_patience: int = 0
    time_limit: float = 0.0
    early_end_step: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        positive(
            self,
            "training_number_of_steps",
            "train_batch_size",
            "gradient_accumulation_steps",
            "base_learning_rate",
            "learning_rate_decay_step",
            "learning_rate_decay_factor",
            "adam_epsilon",
            "save_interval_steps",
            "log_steps",
        )
        not_negative(
            self,
            "end_learning_rate",
            "slow_start_step",
            "slow_start_learning_rate",
            "weight_decay",
            "clip_gradient_norm",
            "last_layer_gradient_multiplier",
            "hard_example_mining_step",
            "focal_loss_weight",
            "focal_loss_gamma",
            "dice_loss_weight",
            "loss_quadrature_nodes",
            "eval_interval_steps",
            "early_stopping_patience",
            "time_limit",
            "early_end_step",
        )
        finite("learning_power", self.learning_power)
        valid_seed(self.seed)
        self.check_choices()
        for name in ("top_k_percent_pixels", "drop_path_keep_prob"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"--{name} must be in (0, 1], got {getattr(self, name)}.")
        if not 0 <= self.momentum < 1:
            raise UserError(f"--momentum must be in [0, 1), got {self.momentum}.")
        if self.hard_example_mining_step and self.top_k_percent_pixels == 1:
            raise UserError("--hard_example_mining_step has no meaning without --top_k_percent_pixels below 1.")
        if self.early_stopping_patience and self.eval_interval_steps == 0:
            raise UserError(
                f"--early_stopping_patience={self.early_stopping_patience} counts evaluations, and "
                "--eval_interval_steps=0 disables them; give another interval."
            )
        if self.early_end_step and not 1 < self.early_end_step < self.training_number_of_steps:
            raise UserError(
                f"--early_end_step={self.early_end_step} must be from 2 to "
                f"--training_number_of_steps={self.training_number_of_steps} - 1; give 0 to train to the end."
            )
        if self.early_end_step and self.early_stopping_patience:
            raise UserError(
                f"--early_end_step={self.early_end_step} ends the training at this step, and "
                f"--early_stopping_patience={self.early_stopping_patience} by its evaluations; give one of the two."
            )
        no_negative_weight(self.label_weights)
        if self.loss_quadrature_nodes:
            self._check_quadrature()
        if self.train_batch_size % self.gradient_accumulation_steps:
            raise UserError(
                f"--train_batch_size={self.train_batch_size} cannot be divided into "
                f"--gradient_accumulation_steps={self.gradient_accumulation_steps} equal parts."
            )
        if self.restore_moving_averages and not self.tf_initial_checkpoint:
            raise UserError("--restore_moving_averages is for --tf_initial_checkpoint; give that too.")

    @property
    def planned_steps(self) -> int:
        """Returns the step at which the training is to end: early_end_step, or training_number_of_steps."""
        return self.early_end_step or self.training_number_of_steps

    def _check_quadrature(self) -> None:
        pixelwise = {
            f"--top_k_percent_pixels={self.top_k_percent_pixels:g}": self.top_k_percent_pixels < 1,
            f"--focal_loss_weight={self.focal_loss_weight:g}": self.focal_loss_weight > 0,
            f"--dice_loss_weight={self.dice_loss_weight:g}": self.dice_loss_weight > 0,
            "--noupsample_logits": not self.upsample_logits,
        }
        given = [flag for flag, is_given in pixelwise.items() if is_given]
        if given:
            raise UserError(
                f"--loss_quadrature_nodes={self.loss_quadrature_nodes} computes the plain cross entropy of "
                f"upsampled logits, which cannot be combined with {', '.join(given)}; leave one or the other out."
            )


def step_before_fall(end: int) -> int:
    """Returns the step after which the learning rate of a training with this early_end_step falls to 0."""
    return end - max(1, end // FALLING)


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """The checkpoint that a training starts from.

    Attributes:
      checkpoint: published checkpoint or earlier run; None for random initial weights.
      moving_averages: bool, whether the moving averages of the checkpoint's variables are restored instead of the
        variables.
    """

    checkpoint: str | None = None
    moving_averages: bool = False

    def of_training(self) -> dict[str, Any]:
        """Returns these values as fields of TrainConfig."""
        return {"tf_initial_checkpoint": self.checkpoint, "restore_moving_averages": self.moving_averages}


DRAWN = InitialWeights()
