"""The sampler that --sampler names."""

from collections.abc import Callable

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.samplers.evolution import RegularisedEvolution
from deeplab_dpc.search.samplers.exhaustive import Exhaustive
from deeplab_dpc.search.samplers.nsga2 import NSGA2
from deeplab_dpc.search.samplers.random_search import RandomSearch
from deeplab_dpc.search.samplers.tpe import TPE
from deeplab_dpc.search.strategy import Strategy


def make_strategy(config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Strategy:
    """A new strategy that has seen nothing.

    Args:
      config: of the search.
      space: of the candidates.
      multiply_adds: of a cell on the features that score it.

    Raises:
      UserError: if the sampler cannot search this space, or not with these flags.
    """
    makers: dict[str, Callable[[], Strategy]] = {
        "paper": lambda: RandomSearch(space, config.uniform_fraction, config.num_best),
        "uniform": lambda: RandomSearch(space, uniform_fraction=1.0),
        "evolution": lambda: RegularisedEvolution(space, config.population_size, config.tournament_size),
        "tpe": lambda: TPE(space, config.proxy_steps),
        "nsga2": lambda: NSGA2(space, multiply_adds, config.population_size, config.proxy_steps),
        "exhaustive": lambda: Exhaustive(space),
    }
    return makers[config.sampler]()
