"""Early stopping by asynchronous successive halving, deterministic for any number of workers.

Successive halving (Jamieson & Talwalkar, 2016, arXiv:1502.07943) gives every candidate a small budget, the best 1 / eta
of them eta times as much, and so on. Its asynchronous form (Li et al., 2018, arXiv:1810.05934, Algorithm 2) does not
wait for a rung to fill: whether a candidate climbs is decided by the candidates that have reached the rung so far.

There, "so far" depends on the speed of workers. Here it means the scores from which candidate n was drawn: those of the
cells before n - lookahead + 1 and no others (sequence.py). So the same cells climb, whatever the workers and timing.
A candidate is judged once, when it has reached the rung; one that was stopped is not resumed.
"""

from collections.abc import Iterable

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.scored import ProxyScore


class HalvingRule:
    """Decides whether a candidate climbs to the next rung, without state between candidates.

    Args:
      config: configuration of the search, whose halving_factor is eta.
    """

    def __init__(self, config: SearchConfig):
        self._factor = config.halving_factor

    def keep_going(self, known: Iterable[ProxyScore], rung: int, miou: float) -> bool:
        """Returns whether fewer than 1 / eta of the known cells that were scored on this rung are better.

        With fewer than eta such cells there is no best 1 / eta of them, and the candidate climbs. Cells with equal
        scores are not better. Warm starts are among the known cells, but are never stopped: this is not called for
        them.

        Args:
          known: scores that candidate n may see, of the cells before n - lookahead + 1, including warm starts.
          rung: index of the rung, 0 for the first.
          miou: mIOU of the candidate on this rung.
        """
        reached = [score.rungs[rung][1] for score in known if len(score.rungs) > rung]
        if len(reached) < self._factor:
            return True
        better = sum(other > miou for other in reached)
        return better * self._factor < len(reached)
