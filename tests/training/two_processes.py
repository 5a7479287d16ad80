"""Trains as one of several JAX processes, or as the only one, until a step where SIGTERM is sent.

    KERAS_BACKEND=jax python two_processes.py WORKDIR DATA_DIR STEP [NUM_PROCESSES PROCESS HOST:PORT]

test_distribution.py runs it. The last process sends the signal to itself at that step, and prints "stopped at N".
"""

import os
import re
import signal
import sys

import keras

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.errors import Stopped
from deeplab_dpc.layers import dropout
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2
from deeplab_dpc.training import recorder, trainer
from deeplab_dpc.training.distribution import open_devices

MODEL = ModelConfig(num_classes=7, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))
CONFIG = TrainConfig(
    training_number_of_steps=1000, train_batch_size=4, base_learning_rate=0.001, log_steps=1, save_interval_steps=1000
)
DATA = DataConfig(data_dir="", train_crop_size=(65, 65))


def main(workdir: str, data_dir: str, step: str, num_processes: str = "1", process: str = "0", master: str = "") -> None:
    MobileNetV2.BLOCKS = tuple(MobileNetV2.BLOCKS[i] for i in (0, 1, 2, 3, 6))
    MobileNetV2.LAST_FILTERS = None
    # Which process has which record of a batch decides which mask a record gets.
    dropout.Dropout.call = lambda self, inputs, training=False: inputs
    devices = open_devices(num_replicas=int(num_processes), task=int(process), master=master or None)

    class Signalled(recorder.Recorder):
        def on_train_batch_end(self, batch, logs=None):
            if self.progress.step + 1 == int(step) and devices.process == devices.num_processes - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    trainer.Recorder = Signalled
    try:
        trainer.train(workdir, MODEL, DATA, CONFIG, find_dataset(data_dir, None, None), devices=devices)
    except Stopped as stopped:
        print("stopped at", re.search(r"step (\d+)", str(stopped)).group(1))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(*sys.argv[1:])
