"""A measurement of how well the proxy ranks."""

import dataclasses

from deeplab_dpc.config.base import Config, not_negative, positive


@dataclasses.dataclass(frozen=True)
class FidelityConfig(Config):
    """Which cells are trained by proxy and for real, and how often (arXiv:1809.04184, Sec. 4.1 and 4.2).

    Attributes:
      fidelity_top_k: best cells of the search in the workdir, by proxy, that are measured beside the 31 sub-sets of
        ASPP's branches (50 in the paper); 0 for the sub-sets alone.
      fidelity_seeds: how often each cell is trained, by proxy and for real, the first time with --seed; from 2 on the
        rank correlation between seeds says what a perfect proxy could reach.
    """

    fidelity_top_k: int = 50
    fidelity_seeds: int = 1

    def __post_init__(self):
        not_negative(self, "fidelity_top_k")
        positive(self, "fidelity_seeds")
