"""Re-ranking: the best cells by proxy are trained end to end and ranked again (arXiv:1809.04184, Sec. 3.3)."""

import dataclasses
import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, TrainConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.files import write_json
from deeplab_dpc.search.cell_run import train_cell
from deeplab_dpc.search.evaluator import OnStep
from deeplab_dpc.search.rerank_network import rerank_network


def rerank(
    root: pathlib.Path,
    cell: Cell,
    model_config: ModelConfig,
    data: DataConfig,
    config: SearchConfig,
    tf_initial_checkpoint: str | None,
    restore_moving_averages: bool,
    dataset: Dataset,
    on_step: OnStep | None = None,
) -> tuple[float, float]:
    """Trains the network with this cell from the initial checkpoint, as a resumable run, and evaluates it.

    A training that diverges has mIOU 0: the others go on, and what its loss was is printed and kept in the run.

    Args:
      root: directory of the runs; each cell has its own, named by its digest.
      cell: that takes the place of the network's.
      model_config: the proxy's network.
      data: records and augmentation.
      config: backbone, budget, seed and the split that scores.
      tf_initial_checkpoint, restore_moving_averages: where the backbone comes from, see rerank_network.
      dataset: the prepared data set.
      on_step: called after each step; what it raises ends the training, which continues when it is started again.

    Returns:
      The mIOU in [0, 1], and the seconds that training and evaluation took, in all starts.
    """
    workdir = root / cell.digest()
    network = rerank_network(config, model_config, tf_initial_checkpoint, restore_moving_averages)
    train_config = TrainConfig(
        training_number_of_steps=config.rerank_steps,
        train_batch_size=config.rerank_batch_size,
        base_learning_rate=config.rerank_learning_rate,
        label_weights=config.label_weights,
        precision=config.rerank_precision,
        tf_initial_checkpoint=network.initial_checkpoint,
        restore_moving_averages=network.moving_averages,
        save_interval_steps=max(1, min(500, config.rerank_steps // 4)),
        seed=config.seed,
    )
    whole = dataclasses.replace(network.config, dense_prediction_cell=cell)
    run = train_cell(workdir, whole, data, train_config, dataset, config.eval_split, on_step)
    if run.confusion is not None:
        metrics = run.confusion.metrics(dataset.info.class_names)
        write_json(workdir / f"eval_{config.eval_split}.json", {**metrics, "seconds": run.seconds})
    return run.miou, run.seconds
