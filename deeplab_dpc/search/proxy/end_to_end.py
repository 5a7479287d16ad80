"""The proxy without a feature cache: the whole network is trained for the proxy's steps (arXiv:1809.04184, Fig. 3b).

The paper compares the two: with cached features a step costs a fraction, but the backbone cannot adapt to the cell.
"""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, TrainConfig
from deeplab_dpc.config.train import DRAWN, InitialWeights
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.search.proxy.cell_evaluator import Candidate, OnStep, climb
from deeplab_dpc.search.scored import ProxyScore

ROWS = 20  # rows of losses that a training records; the last tenth of the steps is the last two rows


class EndToEndEvaluator:
    """Scores cells by training the whole network from the initial backbone, each in a run directory of its own.

    The directory is ROOT/DIGEST_STEPS, so that a training that was killed continues from its last checkpoint; it is
    removed when the cell has its score.

    Args:
      root: directory of the runs.
      model_config: configuration of the network; its cell is replaced.
      data: configuration of records and augmentation.
      config: configuration of the search, with rungs, batch size, learning rate, precision, seed and evaluation split.
      dataset: the prepared data set.
      initial: initial weights of the backbone in every training; context module, decoder and logits start fresh, so
        that no cell has an advantage because the checkpoint happens to fit it.
    """

    def __init__(
        self,
        root: pathlib.Path,
        model_config: ModelConfig,
        data: DataConfig,
        config: SearchConfig,
        dataset: Dataset,
        initial: InitialWeights = DRAWN,
    ):
        self.root = root
        self.model_config = model_config
        self.data = data
        self.config = config
        self.dataset = dataset
        self.initial = initial

    def evaluate(self, candidates: Iterable[Candidate], budgets: Sequence[int]) -> Iterator[ProxyScore]:
        """Trains the network with each cell from the initial backbone on each of the rungs; see Evaluator.

        An error raised by `on_step` keeps the run directory, so that the training continues when it is started again.
        """
        for candidate in candidates:
            train = functools.partial(self._train, candidate.cell, candidate.on_step)
            score = climb(budgets, train, candidate.keep_going)
            for steps in budgets:
                shutil.rmtree(self._workdir(candidate.cell, steps), ignore_errors=True)
            yield score

    def _workdir(self, cell: Cell, steps: int) -> pathlib.Path:
        return self.root / f"{cell.digest()}_{steps}"

    def _train(self, cell: Cell, on_step: OnStep | None, steps: int) -> ProxyScore:
        # Imported here, since it needs TensorFlow for the records, which a search on a feature cache does not need.
        from deeplab_dpc.search.proxy.cell_run import train_cell

        row_steps = max(1, steps // ROWS)
        train_config = TrainConfig(
            training_number_of_steps=steps,
            train_batch_size=self.config.proxy_batch_size,
            base_learning_rate=self.config.proxy_learning_rate,
            label_weights=self.config.label_weights,
            precision=self.config.proxy_precision,
            # A multiple of row_steps, so that the rows of a training that was killed miss no losses.
            save_interval_steps=row_steps * max(1, min(500, steps // 4) // row_steps),
            log_steps=row_steps,
            **self.initial.of_training(),
            initialize_last_layer=False,
            seed=self.config.seed,
        )
        network = dataclasses.replace(self.model_config, dense_prediction_cell=cell)
        run = train_cell(
            self._workdir(cell, steps), network, self.data, train_config, self.dataset, self.config.eval_split, on_step
        )
        if run.diverged:
            return ProxyScore.of_diverged(run.steps)
        return ProxyScore(run.miou, run.last_loss(max(steps // 10, 1)), loss_sum=run.loss_sum, steps=steps)
