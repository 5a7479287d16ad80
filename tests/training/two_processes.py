"""Trains as one of several JAX processes, or as the only one, until SIGTERM comes at a step.

    KERAS_BACKEND=jax python two_processes.py DATA_DIR STEP WORKDIR[,WORKDIR...] --FLAGS

test_distribution.py runs it. The last process sends the signal to itself in that step, and prints "stopped at N".
"""

import os
import re
import signal
import sys

import small_network

from deeplab_dpc.cli.main import parse
from deeplab_dpc.cli.train import devices_from_flags
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.errors import Stopped
from deeplab_dpc.training import trainer
from deeplab_dpc.training.recorder import Recorder

CONFIG = TrainConfig(
    training_number_of_steps=1000, train_batch_size=4, base_learning_rate=0.001, log_steps=1, save_interval_steps=1000
)
DATA = DataConfig(data_dir="", train_crop_size=(65, 65))


def main(data_dir: str, step: int, workdirs: list[str], flag_arguments: list[str]) -> None:
    devices = devices_from_flags(parse("train", flag_arguments).devices)

    class Signalled(Recorder):
        def on_train_batch_end(self, batch, logs=None):
            if self.progress.step + 1 == step and devices.process == devices.num_processes - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    trainer.Recorder = Signalled
    model, dataset = small_network.model_config(num_classes=7), find_dataset(data_dir, None, None)
    for workdir in workdirs:
        try:
            trainer.train(workdir, model, DATA, CONFIG, dataset, devices=devices)
        except Stopped as stopped:
            print("stopped at", re.search(r"step (\d+)", str(stopped)).group(1))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4:])
