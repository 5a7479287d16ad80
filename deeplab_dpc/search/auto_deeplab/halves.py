"""The two halves of the training split: weights are trained on A, alphas and betas on B (arXiv:1901.02985, Sec.
4.2).
"""

import dataclasses

import numpy as np

from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class Halves:
    """Indices of the records of the training split, in random order.

    Attributes:
      weights: half A.
      architecture: half B; the larger one by a record if their number is odd.
    """

    weights: tuple[int, ...]
    architecture: tuple[int, ...]


def draw_halves(num_records: int, batch_size: int, seed: int) -> Halves:
    """Draws the two halves of the training split.

    Args:
      num_records: number of records of the training split.
      batch_size: number of images per step, which each half must have.
      seed: seed of the division into halves.

    Raises:
      UserError: if a half is smaller than a batch.
    """
    if num_records // 2 < batch_size:
        raise UserError(
            f"The training split has {num_records} images, so that its halves have {num_records // 2} and "
            f"{num_records - num_records // 2}, fewer than --search_batch_size={batch_size}; give a smaller batch or "
            "more images."
        )
    shuffled = np.random.default_rng(seed).permutation(num_records).tolist()
    middle = num_records // 2
    return Halves(tuple(shuffled[:middle]), tuple(shuffled[middle:]))
