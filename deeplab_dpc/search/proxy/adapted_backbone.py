"""A backbone that is fine-tuned once on the data, with a plain head, before its features are cached.

The paper caches the features of a published backbone (arXiv:1809.04184, Sec. 3.3). On data that differ from the
training data of that backbone, cells would then be ranked on features that a real training adapts first.
"""

import dataclasses
import pathlib

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, TrainConfig
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.locks import only_writer
from deeplab_dpc.training.trainer import train

FOLDER = "adapted"  # run directory of the fine-tuning, in the workdir
PLAIN_HEAD = "conv1x1"  # so that no searched operation shapes the features


def adapt_backbone(
    workdir: pathlib.Path,
    model_config: ModelConfig,
    data: DataConfig,
    config: SearchConfig,
    dataset: Dataset,
    initial: InitialWeights,
) -> pathlib.Path:
    """Fine-tunes the whole network with a 1x1 convolution in place of the cell, as a resumable run.

    If several processes on one file system need it, one trains and the others wait.

    Args:
      workdir: directory of the search.
      model_config: configuration of the network; its cell is replaced.
      data: configuration of records and augmentation.
      config: configuration of the search, with the number of steps (`adapt_steps`); batch size, optimizer,
        learning rate and precision are those of the real trainings.
      dataset: the prepared data set.
      initial: initial weights of the backbone.

    Returns:
      The run directory.
    """
    run = workdir / FOLDER
    protocol = TrainConfig(
        training_number_of_steps=config.adapt_steps,
        train_batch_size=config.rerank_batch_size,
        optimizer=config.rerank_optimizer,
        base_learning_rate=config.rerank_learning_rate,
        label_weights=config.label_weights,
        precision=config.rerank_precision,
        **initial.of_training(),
        initialize_last_layer=False,
        save_interval_steps=max(1, min(500, config.adapt_steps // 4)),
        seed=config.seed,
    )
    network = dataclasses.replace(model_config, dense_prediction_cell=load_cell(PLAIN_HEAD))
    with only_writer(run, "adapted backbone"):
        train(run, network, data, protocol, dataset)
    return run
