"""The configurations of a search of dense prediction cells, of its storage and workers, and of the proxy's fidelity."""

import dataclasses
from typing import ClassVar

from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config.base import Choices, Config, no_negative_weight, not_negative, positive, valid_seed
from deeplab_dpc.config.samplers import SAMPLERS, sampler_names
from deeplab_dpc.config.train import OPTIMIZERS
from deeplab_dpc.errors import UserError, shown

_, ADAPTED, END_TO_END = PROXY_FEATURES = ("cached", "adapted", "end_to_end")
LONGEST_STUDY_NAME = 400  # characters; databases hold 512, with suffixes such as /contest
SEARCH_PRECISIONS = ("float32", "bfloat16")
MIOU, _, MEAN_MIOU, _, _ = PROXY_SIGNALS = ("miou", "cross_entropy", "mean_miou", "last_loss", "loss_sum")


@dataclasses.dataclass(frozen=True)
class SearchConfig(Config):
    """The configuration of a search, its proxy task and its contest (arXiv:1809.04184, Sec. 3.2, 3.3 and 4.2).

    The defaults are for a few hundred images on two cores. The space, the sampler, and the batch size and learning rate
    of the proxy are those of the paper. The numbers of candidates, steps and finalists are far below those of the
    paper, which has no warm starts among the finalists and no contest with several rounds and seeds.
    recipes/cityscapes_search.flags has the paper's protocol and lists what the paper does not specify.

    Attributes:
      num_candidates: number of cells to score by proxy, in addition to the warm starts.
      num_branches: number of branches of each cell.
      cell_rates: possible atrous rates of the cells along each side, in feature-map cells at output stride 16; by
        default those of the paper (1, 3, 6, 9, 12, 15, 18, 21) at which an outer tap sees features, not padding, at 40
        % or more of the positions along the shorter side of a training crop.
      cell_grids: possible grid sizes of the cells' pyramid pooling along each side.
      cell_operations: names of operations of other packages to include in the space.
      max_params: largest number of weights and biases of a cell with its projection.
      max_madds: largest number of multiply-adds of a cell with its projection, on features of the size of the scoring
        split.
      min_receptive_field: smallest allowed receptive field of a cell along its smaller side, in feature-map cells at
        the network's output stride.
      max_receptive_field: largest allowed receptive field of a cell along its larger side, in feature-map cells at the
        network's output stride.
      sampler: paper (uniform draws mixed with neighbours of the best), uniform, evolution (regularised), tpe, nsga2 (on
        mIOU and multiply-adds), or exhaustive (every cell of a small space).
      uniform_fraction: share of candidates that the paper's sampler draws uniformly; the others are neighbours of the
        best so far.
      num_best: number of the best cells so far whose neighbours the paper's sampler draws.
      population_size: population size of evolution and nsga2.
      tournament_size: tournament size of evolution, at most the population size.
      lookahead: largest number of candidates that are scored at the same time. A candidate is drawn from the scores of
        all but the last lookahead - 1 candidates before it, as soon as these are known. For the same scores, the draws
        do not depend on the number of workers.
      warm_starts: names or files of cells to score first; neighbours of those in the space may be drawn. By default,
        ASPP has smaller rates if training crops are smaller than the images and have fewer than 21 feature-map cells
        per side.
      proxy_steps: number of steps of a proxy training.
      proxy_batch_size: number of images per step of a proxy training.
      proxy_learning_rate: initial learning rate of a proxy training, with poly decay.
      proxy_score_points: number of evaluations of a proxy training on cached features, at equal distances, the last one
        at its end; the study and results.json contain the mIOU and the validation cross entropy of each.
      proxy_signal: score that ranks cells by proxy: miou, cross_entropy (of the held-out labelled pixels, lower is
        better), mean_miou (the mean mIOU of the proxy_score_points), last_loss (the mean training loss of the last
        tenth of the steps, lower is better), or loss_sum (the sum of the training loss over all steps, lower is
        better).
      proxy_loss_nodes: number of quadrature nodes per axis and feature-map cell in the loss of the proxy; 0 for the
        exact loss.
      label_weights: weight of each class in the cross entropy, of the proxy and of re-ranking; empty for weights of 1.
      proxy_precision: precision of the activations in proxy trainings: float32 or bfloat16.
      proxy_features: features for the proxy: cached (those of the frozen backbone as given), adapted (those of the
        backbone after the network, with a 1x1 convolution as its cell, was fine-tuned for adapt_steps), or end_to_end
        (none; the whole network is trained for proxy_steps).
      adapt_steps: number of steps of the fine-tuning for proxy_features=adapted; its batch size, optimizer,
        learning rate and precision are those of re-ranking.
      halving_rungs: number of rungs of successive halving, which stops weak candidates early; the budget of the last
        rung is proxy_steps; 1 for no halving.
      halving_factor: ratio of a rung's budget to that of the rung before, and of the number of candidates that enter a
        rung to the number that leave it.
      rerank_top_k: number of the best candidates by proxy that become finalists; finalists are trained end to end after
        the search, in a contest with the warm starts; 0 for no contest.
      rerank_steps: number of training steps of a finalist at the end of the last round.
      rerank_schedule_steps: number of steps of the schedule of the learning rate of which rerank_steps are the
        beginning, so that the winner's training can be continued as one of that length; 0 for rerank_steps.
      rerank_batch_size: number of images per step of a finalist's training.
      rerank_optimizer: optimizer of a finalist's training: momentum (SGD), adam, or adamw (decoupled weight decay);
        from a checkpoint, adam learns faster in a few thousand steps, and momentum is that of the paper.
      rerank_learning_rate: initial learning rate of a finalist's training, with poly decay.
      rerank_precision: precision of the activations in a finalist's training: float32 or bfloat16.
      rerank_warm_starts: whether the warm starts are finalists, regardless of their scores.
      rerank_model_variant: backbone of the finalists, if it differs from that of the proxy.
      rerank_initial_checkpoint: initial checkpoint of the finalists; by default that of the proxy's backbone.
      contest_rounds: number of rounds of the contest; the last round ends at rerank_steps steps, and each earlier round
        at half the steps of the next. After a round, finalists that can no longer win are dropped, and the others
        continue from before the fall of the learning rate to 0 in the last fifth of the round.
      contest_seeds: number of trainings of each finalist in the last round, with seed and the integers after it; with
        several rounds, the first round has one training of each.
      contest_threshold: share of the largest probability of being the best, below which a finalist is dropped.
      eval_split: split on which cells are scored.
      seed: seed of all random numbers.
    """

    CHOICES: ClassVar[Choices] = {
        "sampler": tuple(SAMPLERS),
        "proxy_features": PROXY_FEATURES,
        "proxy_signal": PROXY_SIGNALS,
        "proxy_precision": SEARCH_PRECISIONS,
        "rerank_optimizer": OPTIMIZERS,
        "rerank_precision": SEARCH_PRECISIONS,
    }

    num_candidates: int = 24
    num_branches: int = 5
    cell_rates: tuple[int, ...] = (1, 3, 6, 9, 12, 15, 18, 21)
    cell_grids: tuple[int, ...] = (1, 2, 4, 8)
    cell_operations: tuple[str, ...] = ()
    max_params: int | None = None
    max_madds: int | None = None
    min_receptive_field: int | None = None
    max_receptive_field: int | None = None
    sampler: str = "paper"
    uniform_fraction: float = 0.5
    num_best: int = 10
    population_size: int = 50
    tournament_size: int = 10
    lookahead: int = 8
    warm_starts: tuple[str, ...] = ("conv1x1", "aspp", "dpc_top1", "psp")
    proxy_steps: int = 400
    proxy_batch_size: int = 8
    proxy_learning_rate: float = 0.01
    proxy_score_points: int = 1
    proxy_signal: str = MIOU
    proxy_loss_nodes: int = 4
    label_weights: tuple[float, ...] = ()
    proxy_precision: str = "float32"
    proxy_features: str = "cached"
    adapt_steps: int = 2500
    halving_rungs: int = 1
    halving_factor: int = 4
    rerank_top_k: int = 4
    rerank_steps: int = 400
    rerank_schedule_steps: int = 0
    rerank_batch_size: int = 8
    rerank_optimizer: str = "adam"
    rerank_learning_rate: float = 0.001
    rerank_precision: str = "float32"
    rerank_warm_starts: bool = True
    rerank_model_variant: str | None = None
    rerank_initial_checkpoint: str | None = None
    contest_rounds: int = 2
    contest_seeds: int = 2
    contest_threshold: float = 0.05
    eval_split: str = "val"
    seed: int = 0

    def __post_init__(self) -> None:
        positive(self, "num_branches", "num_best", "proxy_steps", "proxy_batch_size", "proxy_learning_rate")
        positive(self, "proxy_score_points", "adapt_steps", "lookahead", "halving_rungs")
        positive(self, "population_size", "tournament_size")
        positive(self, "rerank_steps", "rerank_batch_size", "rerank_learning_rate", "contest_rounds", "contest_seeds")
        not_negative(self, "num_candidates", "rerank_top_k", "rerank_schedule_steps", "proxy_loss_nodes")
        no_negative_weight(self.label_weights)
        valid_seed(self.seed)
        self.check_choices()
        self._check_signal()
        for name in ("max_params", "max_madds", "min_receptive_field", "max_receptive_field"):
            if getattr(self, name) is not None:
                positive(self, name)
        if not 0.0 <= self.uniform_fraction <= 1.0:
            raise UserError(f"--uniform_fraction must be in [0, 1], got {self.uniform_fraction}.")
        if not 0.0 <= self.contest_threshold <= 1.0:
            raise UserError(f"--contest_threshold must be in [0, 1], got {self.contest_threshold}.")
        if self.contest_steps[0] < 1:
            raise UserError(
                f"--rerank_steps={self.rerank_steps} are too few for --contest_rounds={self.contest_rounds}, each of "
                "half the steps of the next: the first round would have no step."
            )
        if 0 < self.rerank_schedule_steps < self.rerank_steps:
            raise UserError(
                f"--rerank_schedule_steps={self.rerank_schedule_steps} must be at least "
                f"--rerank_steps={self.rerank_steps}, which are its beginning; give 0 for the same."
            )
        if self.tournament_size > self.population_size:
            raise UserError(
                f"--tournament_size={self.tournament_size} must be at most --population_size={self.population_size}."
            )
        if self.halving_factor < 2:
            raise UserError(f"--halving_factor must be at least 2, got {self.halving_factor}.")
        if self.rung_steps[0] < 1:
            raise UserError(
                f"--proxy_steps={self.proxy_steps} are too few for --halving_rungs={self.halving_rungs} with "
                f"--halving_factor={self.halving_factor}: the first rung would have no step."
            )

    @classmethod
    def choices(cls) -> Choices:
        return {**cls.CHOICES, "sampler": sampler_names()}

    def _check_signal(self) -> None:
        given = f"--proxy_signal={self.proxy_signal}"
        if self.proxy_signal != MIOU and self.proxy_features == END_TO_END:
            raise UserError(f"{given} is known on cached features only, not with --proxy_features={END_TO_END}.")
        if self.proxy_signal != MIOU and self.halving_rungs > 1:
            raise UserError(
                f"{given} cannot be combined with --halving_rungs={self.halving_rungs}, which compares candidates "
                "by mIOU."
            )
        if self.proxy_signal == MEAN_MIOU and self.proxy_score_points == 1:
            raise UserError(f"{given} is a mean over several scores: give --proxy_score_points=2 or more.")

    @property
    def space(self) -> SearchSpace:
        """Returns the search space of the cells.

        Raises:
          UserError: if the branches, rates, grids or operations are invalid.
        """
        return SearchSpace(self.num_branches, self.cell_rates, self.cell_grids, self.cell_operations)

    @property
    def contest_steps(self) -> tuple[int, ...]:
        """Returns the number of training steps at the end of each round of the contest; the last is rerank_steps."""
        return tuple(self.rerank_steps // 2**later for later in reversed(range(self.contest_rounds)))

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Returns the number of steps of a training on each rung, each from scratch; the last is proxy_steps."""
        return tuple(self.proxy_steps // self.halving_factor**rung for rung in reversed(range(self.halving_rungs)))


@dataclasses.dataclass(frozen=True)
class ServiceConfig(Config):
    """The storage and the workers of a study, which do not affect the search itself.

    Attributes:
      storage: storage of the study: journal:FILE, grpc://HOST:PORT (Optuna's proxy), or the URL of a PostgreSQL or
        MySQL database; by default the environment variable DEEPLAB_DPC_STORAGE, or else the journal study.journal in
        the workdir.
      study_name: name of the study in the storage.
      workers: number of processes on this machine; 1 for only the current process.
      lease_seconds: number of seconds after which a task whose worker sends no heartbeat is given to another worker.
      retry_given_up: whether to score cells again that were given up because every worker that scored them died.
    """

    storage: str | None = None
    study_name: str = "search"
    workers: int = 1
    lease_seconds: float = 300.0
    retry_given_up: bool = False

    def __post_init__(self) -> None:
        positive(self, "workers", "lease_seconds")
        if not self.study_name or not self.study_name.isprintable() or len(self.study_name) > LONGEST_STUDY_NAME:
            raise UserError(
                f"--study_name must be printable text of 1 to {LONGEST_STUDY_NAME} characters, got "
                f"{shown(self.study_name)}."
            )


@dataclasses.dataclass(frozen=True)
class FidelityConfig(Config):
    """The configuration of a measurement of the proxy's fidelity (arXiv:1809.04184, Sec. 4.1 and 4.2).

    Each cell is trained by proxy and end to end.

    Attributes:
      fidelity_subsets: whether the 31 subsets of ASPP's branches are measured.
      fidelity_mixed: number of mixed cells that are measured: the warm starts, then alternately uniform draws from the
        space and neighbours of the warm starts; 0 for none.
      fidelity_top_k: number of the best cells by proxy of the search in the workdir that are measured (50 in the
        paper); 0 for none.
      fidelity_seeds: number of trainings of each cell, by proxy and end to end, the first one with --seed; with 2 or
        more, the rank correlation between seeds shows the best that a proxy could reach.
      fidelity_compare: workdirs of earlier measurements with other proxies. A real training that one of them contains
        is not repeated, and the report compares their proxies with this one.
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
