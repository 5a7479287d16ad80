"""The table of samplers, which is used by --sampler, the study, the report and the tests."""

import dataclasses
import pkgutil
from collections.abc import Callable
from typing import Any, Literal

from deeplab_dpc import own_parts

# For type checkers, which cannot read the table; the name of a sampler of another package is a `str`.
SamplerName = Literal["paper", "uniform", "evolution", "tpe", "nsga2", "exhaustive"]


@dataclasses.dataclass(frozen=True)
class SamplerEntry:
    """An entry of the table of samplers.

    Attributes:
      title: name of the sampler in the report of a search.
      maker: MODULE:NAME of the function that is called with (SearchConfig, SearchSpace, function that returns the
        multiply-adds of a cell) and returns the sampler. It is imported when it is needed.
      draws: names of the kinds of draws that the sampler makes once scores are known.
      multi_objective: bool, whether the sampler uses the multiply-adds of cells in addition to their scores.
      has_population: bool, whether draws are uniform until population_size cells are scored.
    """

    title: str
    maker: str
    draws: frozenset[str]
    multi_objective: bool = False
    has_population: bool = False


_FOLDER = "deeplab_dpc.search.samplers"
SAMPLERS: dict[str, SamplerEntry] = {
    "paper": SamplerEntry(
        "the paper's: uniform draws mixed with neighbours of the best so far",
        f"{_FOLDER}.random_search:RandomSearch.from_config",
        frozenset({"uniform", "neighbour"}),
    ),
    "uniform": SamplerEntry(
        "only uniform draws", f"{_FOLDER}.random_search:RandomSearch.uniform", frozenset({"uniform"})
    ),
    "evolution": SamplerEntry(
        "regularised evolution",
        f"{_FOLDER}.evolution:RegularisedEvolution.from_config",
        frozenset({"mutation"}),
        has_population=True,
    ),
    "tpe": SamplerEntry("tree-structured Parzen estimator (TPE)", f"{_FOLDER}.tpe:TPE.from_config", frozenset({"tpe"})),
    "nsga2": SamplerEntry(
        "NSGA-II on mIOU and multiply-adds",
        f"{_FOLDER}.nsga2:NSGA2.from_config",
        frozenset({"nsga2"}),
        multi_objective=True,
        has_population=True,
    ),
    "exhaustive": SamplerEntry(
        "every cell of the space", f"{_FOLDER}.exhaustive:Exhaustive.from_config", frozenset({"exhaustive"})
    ),
}


def sampler_names() -> tuple[str, ...]:
    """Returns the names of the samplers in the table and in other packages."""
    return (*SAMPLERS, *own_parts.names(own_parts.SAMPLERS))


def sampler_entry(name: str) -> SamplerEntry:
    """Returns the entry of a sampler; for one of another package, title and draws are its name."""
    return SAMPLERS.get(name) or SamplerEntry(name, "", frozenset({name}))


def sampler_maker(name: str) -> Callable[..., Any]:
    """Imports and returns the function that makes a sampler.

    Raises:
      UserError: if the sampler of another package cannot be imported.
    """
    if name not in SAMPLERS:
        maker: Callable[..., Any] = own_parts.load(own_parts.SAMPLERS, name)
    else:
        maker = pkgutil.resolve_name(SAMPLERS[name].maker)
    return maker
