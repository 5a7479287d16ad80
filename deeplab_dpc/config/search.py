"""A search of dense prediction cells."""

import dataclasses

from deeplab_dpc.config.base import Config, not_negative, positive
from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class SearchConfig(Config):
    """The search and its proxy task (arXiv:1809.04184, Sec. 3.2, 3.3 and 4.2); the defaults are the paper's.

    Attributes:
      num_candidates: cells to score by proxy.
      num_branches: of each cell.
      uniform_fraction: share of candidates drawn uniformly; the others are neighbours of the best so far.
      num_best: how many of the best so far have neighbours drawn.
      proxy_steps, proxy_batch_size, proxy_learning_rate: of the training on cached features.
      proxy_loss_nodes: quadrature nodes per axis and feature-map cell in the proxy's loss; 0 for the exact loss.
      baselines: names or files of cells scored beside the candidates.
      rerank_top_k: cells that are trained end to end after the search.
      rerank_steps, rerank_batch_size, rerank_learning_rate: of that training.
      rerank_baselines: whether the baselines are trained end to end too.
      eval_split: the split that scores.
      seed: of everything drawn.
    """

    num_candidates: int = 28000
    num_branches: int = 5
    uniform_fraction: float = 0.5
    num_best: int = 10
    proxy_steps: int = 30000
    proxy_batch_size: int = 8
    proxy_learning_rate: float = 0.01
    proxy_loss_nodes: int = 4
    baselines: tuple[str, ...] = ("conv1x1", "aspp", "dpc_top1")
    rerank_top_k: int = 50
    rerank_steps: int = 90000
    rerank_batch_size: int = 8
    rerank_learning_rate: float = 0.01
    rerank_baselines: bool = False
    eval_split: str = "val"
    seed: int = 0

    def __post_init__(self):
        positive(self, "num_branches", "num_best", "proxy_steps", "proxy_batch_size", "proxy_learning_rate")
        positive(self, "rerank_steps", "rerank_batch_size", "rerank_learning_rate")
        if not 0.0 <= self.uniform_fraction <= 1.0:
            raise UserError(f"--uniform_fraction must be in [0, 1], got {self.uniform_fraction}.")
        not_negative(self, "num_candidates", "rerank_top_k", "proxy_loss_nodes")
