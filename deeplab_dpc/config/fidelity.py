"""The configuration of a measurement of the proxy's fidelity."""

import dataclasses

from deeplab_dpc.config.base import Config, not_negative, positive
from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class FidelityConfig(Config):
    """The cells that are trained by proxy and for real, and the number of trainings (arXiv:1809.04184, Sec. 4.1 and
    4.2).

    Attributes:
      fidelity_subsets: whether the 31 subsets of ASPP's branches are measured.
      fidelity_mixed: number of mixed cells that are measured: the warm starts, then uniform draws from the space and
        neighbours of the warm starts in turn; 0 for none.
      fidelity_top_k: number of the search's best cells by proxy, from the workdir, that are measured (50 in the paper);
        0 for none.
      fidelity_seeds: number of trainings of each cell, by proxy and for real, the first one with --seed; from 2 on the
        rank correlation between seeds shows the best that a proxy could reach.
      fidelity_compare: workdirs of earlier measurements with other proxies. A real training that one of them contains
        is not repeated, and their proxies are compared with this one in the report.
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
