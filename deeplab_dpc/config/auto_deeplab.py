"""The configuration of an Auto-DeepLab search."""

import dataclasses
from typing import Any, ClassVar, Self

from deeplab_dpc.config.base import Choices, Config, not_negative, positive, valid_seed
from deeplab_dpc.errors import UserError

OPERATOR_CHOICES = ("alphas", "perturbation")
SUPERNET_PRECISIONS = ("float32", "bfloat16")
STEM_LAYERS = (2, 3)


@dataclasses.dataclass(frozen=True)
class AutoDeepLabConfig(Config):
    """The configuration of a search of Auto-DeepLab by gradient (arXiv:1901.02985, Sec. 4 and 5.1).

    By default, the supernet, its optimizers and the numbers of epochs are those of the paper. Options that the paper
    does not have (perturbation, stop_at_skips, rematerialize) are off.

    Attributes:
      num_layers: number of layers of the searched network.
      num_blocks: number of blocks of a cell.
      filter_multiplier: number of channels of a block at stride 4; it doubles with the stride.
      stem_filters: number of channels of the stem at stride 2; it is twice as large at stride 4.
      stem_layers: number of 3x3 convolutions of the stem: 2, as in the paper's search, or 3, as in the network that is
        retrained.
      search_epochs: number of passes over the first half of the training split.
      architecture_start_epoch: number of epochs that train only the weights, before alphas and betas are trained too.
      search_batch_size: number of images per step, on either half of the training split.
      weight_learning_rate: initial learning rate of the weights.
      weight_end_learning_rate: learning rate of the weights at the end of its cosine decay.
      weight_momentum: momentum of the weights' SGD.
      weight_decay: factor of half the squared norm of the weights, which is added to the loss.
      architecture_learning_rate: learning rate of Adam on alphas and betas.
      architecture_weight_decay: factor of half the squared norm of alphas and betas, which is added to their loss.
      stop_at_skips: number of skip operators in the decoded cell at which the search stops; 0 for never.
      operator_choice: choice of the cell's operators: alphas (the operator with the largest alpha, as in the paper) or
        perturbation (the operator whose removal reduces the mIOU most).
      perturbation_images: number of images of the second half on which perturbation evaluates an operator.
      perturbation_tune_steps: number of steps that tune the weights after each choice of an operator by perturbation.
      rematerialize: whether activations of cells are recomputed for the gradient instead of stored, to save memory.
      supernet_precision: precision of the supernet's activations: float32 or bfloat16.
      search_save_interval_steps: number of steps between two checkpoints, in addition to those at the end of each
        epoch.
      eval_split: split to evaluate after each epoch.
      seed: seed of all random numbers.
    """

    CHOICES: ClassVar[Choices] = {
        "operator_choice": OPERATOR_CHOICES,
        "supernet_precision": SUPERNET_PRECISIONS,
    }

    num_layers: int = 12
    num_blocks: int = 5
    filter_multiplier: int = 8
    stem_filters: int = 64
    stem_layers: int = 2
    search_epochs: int = 40
    architecture_start_epoch: int = 20
    search_batch_size: int = 2
    weight_learning_rate: float = 0.025
    weight_end_learning_rate: float = 0.001
    weight_momentum: float = 0.9
    weight_decay: float = 3e-4
    architecture_learning_rate: float = 3e-3
    architecture_weight_decay: float = 1e-3
    stop_at_skips: int = 0
    operator_choice: str = "alphas"
    perturbation_images: int = 32
    perturbation_tune_steps: int = 50
    rematerialize: bool = False
    supernet_precision: str = "float32"
    search_save_interval_steps: int = 500
    eval_split: str = "val"
    seed: int = 0

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Returns the configuration whose `to_json` is given; a missing `stem_layers` (earlier versions) means 3."""
        return super().from_json({"stem_layers": 3, **value} if isinstance(value, dict) else value)

    def __post_init__(self) -> None:
        positive(self, "num_layers", "num_blocks", "filter_multiplier", "stem_filters")
        positive(self, "search_epochs", "search_batch_size", "weight_learning_rate", "architecture_learning_rate")
        positive(self, "search_save_interval_steps", "perturbation_images")
        not_negative(self, "architecture_start_epoch", "weight_end_learning_rate", "weight_decay", "stop_at_skips")
        not_negative(self, "architecture_weight_decay", "perturbation_tune_steps")
        valid_seed(self.seed)
        self.check_choices()
        if self.stem_layers not in STEM_LAYERS:
            raise UserError(f"--stem_layers must be 2 or 3, got {self.stem_layers}.")
        if not 0 <= self.weight_momentum < 1:
            raise UserError(f"--weight_momentum must be in [0, 1), got {self.weight_momentum}.")
        if self.weight_end_learning_rate > self.weight_learning_rate:
            raise UserError(
                f"--weight_end_learning_rate={self.weight_end_learning_rate} is above "
                f"--weight_learning_rate={self.weight_learning_rate}."
            )
        if self.architecture_start_epoch >= self.search_epochs:
            raise UserError(
                f"--architecture_start_epoch={self.architecture_start_epoch} must be below "
                f"--search_epochs={self.search_epochs}, or alphas and betas are never trained."
            )
