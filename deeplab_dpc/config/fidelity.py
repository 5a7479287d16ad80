"""A measurement of how well the proxy ranks."""

import dataclasses

from deeplab_dpc.config.base import Config, not_negative, positive
from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class FidelityConfig(Config):
    """Which cells are trained by proxy and for real, and how often (arXiv:1809.04184, Sec. 4.1 and 4.2).

    Attributes:
      fidelity_subsets: whether the 31 sub-sets of ASPP's branches are measured.
      fidelity_mixed: cells of every kind that are measured: the warm starts, then uniform draws of the space and
        neighbours of the warm starts in turn; 0 for none.
      fidelity_top_k: best cells of the search in the workdir, by proxy, that are measured (50 in the paper); 0 for
        none.
      fidelity_seeds: how often each cell is trained, by proxy and for real, the first time with --seed; from 2 on the
        rank correlation between seeds says what a perfect proxy could reach.
      fidelity_compare: workdirs of earlier measurements by other proxies. A real training that one of them has is not
        done again, and their proxies stand beside this one in the report.
    """

    fidelity_subsets: bool = True
    fidelity_mixed: int = 0
    fidelity_top_k: int = 50
    fidelity_seeds: int = 1
    fidelity_compare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        not_negative(self, "fidelity_top_k", "fidelity_mixed")
        positive(self, "fidelity_seeds")
        if not (self.fidelity_subsets or self.fidelity_mixed or self.fidelity_top_k):
            raise UserError(
                "--nofidelity_subsets leaves no cell to measure: give --fidelity_mixed=24, or a --fidelity_top_k."
            )
