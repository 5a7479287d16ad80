"""Early stopping by asynchronous successive halving, deterministic for any number of workers.

Successive halving (Jamieson & Talwalkar, 2016, arXiv:1502.07943) gives every candidate a small budget, and the best
1 / eta of them eta times as much, again and again. Its asynchronous form (Li et al., 2018, arXiv:1810.05934,
Algorithm 2) does not wait for a rung to fill: whether a candidate climbs is judged by what has reached the rung so far.

There, "so far" is a matter of who was faster. Here it is what candidate n was drawn from: the scores of the cells
before n - lookahead + 1 and no others (sequence.py). So the same cells climb whoever trains them, and when. A candidate
is judged once, when it has reached the rung; one that was stopped is not taken up again.
"""

from collections.abc import Iterable

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.scored import ProxyScore


class HalvingRule:
    """Says whether a candidate climbs to the next rung; it keeps nothing from one candidate to the next.

    Args:
      config: halving_factor is eta.
    """

    def __init__(self, config: SearchConfig):
        self._factor = config.halving_factor

    def keep_going(self, known: Iterable[ProxyScore], rung: int, miou: float) -> bool:
        """Returns whether fewer than 1 / eta of the known cells that were scored on this rung are better.

        With fewer than eta such cells there is no best 1 / eta of them, and the candidate climbs. Cells that are as
        good as it are not better. Warm starts are among the known, but are never stopped: they are not to be asked for.

        Args:
          known: the scores that candidate n may see, of the cells before n - lookahead + 1, warm starts too.
          rung: its place, 0 for the first.
          miou: miou of the candidate on this rung.
        """
        reached = [score.rungs[rung][1] for score in known if len(score.rungs) > rung]
        if len(reached) < self._factor:
            return True
        better = sum(other > miou for other in reached)
        return better * self._factor < len(reached)
