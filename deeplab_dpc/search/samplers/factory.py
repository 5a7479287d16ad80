"""Construction of the sampler that --sampler names."""

from collections.abc import Callable

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.samplers import sampler_maker
from deeplab_dpc.search.samplers.sampler import Sampler


def make_sampler(config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Sampler:
    """Returns a new sampler without observations.

    Args:
      config: configuration of the search.
      space: space of the candidates.
      multiply_adds: function that returns the multiply-adds of a cell on the features on which it is scored.

    Raises:
      UserError: if the sampler cannot search this space, or cannot do so with these flags.
    """
    sampler: Sampler = sampler_maker(config.sampler)(config, space, multiply_adds)
    return sampler
