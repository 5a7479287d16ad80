"""The configuration of the metrics of an evaluation."""

import dataclasses

from deeplab_dpc.config.base import Config
from deeplab_dpc.errors import UserError

DILATION_RATIO = 0.02  # arXiv:2103.16562, for COCO and LVIS


@dataclasses.dataclass(frozen=True)
class JudgeConfig(Config):
    """The metrics in addition to mIOU and accuracies, and the computation of confidence intervals.

    Attributes:
      boundary_iou: whether boundary IoU, the IoU near contours, is computed too (arXiv:2103.16562).
      boundary_dilation_ratio: largest distance from a contour in boundary IoU, as a fraction of the image's diagonal.
      trimap_width: number of pixels on each side of the labels' contours in which the mIOU is computed too; 0 for none.
      bootstrap_resamples: number of resamples of the images for the 95 % confidence intervals.
    """

    boundary_iou: bool = False
    boundary_dilation_ratio: float = DILATION_RATIO
    trimap_width: int = 0
    bootstrap_resamples: int = 1000

    def __post_init__(self) -> None:
        if self.trimap_width < 0:
            raise UserError(f"--trimap_width must be a number of pixels, or 0 for none, got {self.trimap_width}.")
        if not 0 < self.boundary_dilation_ratio < 1:
            raise UserError(f"--boundary_dilation_ratio must be in (0, 1), got {self.boundary_dilation_ratio}.")
        if self.boundary_dilation_ratio != DILATION_RATIO and not self.boundary_iou:
            raise UserError("--boundary_dilation_ratio needs --boundary_iou.")
