"""The genotype at the end of a search, by the largest alphas (arXiv:1901.02985, Sec. 4.3) or by perturbation."""

import pathlib
import random
from typing import Any

import keras
import numpy as np

from deeplab_dpc.arch.genotype import Block, Genotype
from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.console import progress_bar
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.files import read_json, write_json
from deeplab_dpc.run_config import read_section
from deeplab_dpc.search.auto_deeplab import epoch_records, perturbation
from deeplab_dpc.search.auto_deeplab.checkpoints import Standing
from deeplab_dpc.search.auto_deeplab.decoding import decode, edge_probabilities, operator_probabilities
from deeplab_dpc.search.auto_deeplab.epoch_records import architecture_of
from deeplab_dpc.search.auto_deeplab.gradient_report import DECIDED
from deeplab_dpc.search.auto_deeplab.plan import Plan
from deeplab_dpc.search.auto_deeplab.search_program import SearchProgram
from deeplab_dpc.search.auto_deeplab.streams import Streams

# Fields of AutoDeepLabConfig that decide the genotype when alphas and betas are known.
CHOICE_FIELDS = ("operator_choice", "perturbation_images", "perturbation_tune_steps")


def set_other_choice_aside(workdir: pathlib.Path, config: AutoDeepLabConfig) -> pathlib.Path | None:
    """Renames the genotype of a finished search if it was chosen by another operator_choice; returns the new path.

    The search can then choose again, from its final alphas and betas.
    """
    path = workdir / DECIDED
    if not path.exists():
        return None
    before = read_section(workdir, "auto_deeplab", AutoDeepLabConfig)
    if all(getattr(before, name) == getattr(config, name) for name in CHOICE_FIELDS):
        return None
    return path.replace(path.with_stem(f"{path.stem}_{before.operator_choice}"))


def found_genotype(workdir: pathlib.Path) -> Genotype | None:
    """Returns the genotype of a finished search; None before the end.

    Raises:
      UserError: if the file is not a genotype.
    """
    path = workdir / DECIDED
    return Genotype.from_json(read_json(path, "genotype")) if path.exists() else None


def choose_genotype(
    workdir: pathlib.Path, program: SearchProgram, streams: Streams, plan: Plan, standing: Standing
) -> Genotype:
    """Chooses the genotype by --operator_choice, and writes the report and, last, genotype.json.

    The path is the most probable one by the betas in both cases.
    """
    alphas, betas = architecture_of(standing.state)
    genotype = decode(alphas, betas)
    if plan.config.operator_choice == "perturbation":
        judge = _Perturbation(program, streams, plan, standing, edge_probabilities(betas))
        genotype = Genotype(judge.blocks(operator_probabilities(alphas)), genotype.path)
    epoch_records.write(workdir, plan.config, standing, genotype)
    write_json(workdir / DECIDED, genotype.to_json())
    return genotype


class _Perturbation:
    """The evaluations and tuning of the supernet for the choice by perturbation; after an interruption it repeats the
    same draws.
    """

    def __init__(
        self, program: SearchProgram, streams: Streams, plan: Plan, standing: Standing, edge_mixture: np.ndarray
    ) -> None:
        self._program = program
        self._plan = plan
        self._info = streams.dataset.info
        self._state = standing.state
        self._edge_mixture = edge_mixture
        self._held_out = streams.held_out()
        self._weights = streams.weights(standing.step)

    def blocks(self, probabilities: np.ndarray) -> tuple[Block, ...]:
        """Returns the blocks of the cell made of the parts without which the supernet scores worst."""
        rng = random.Random(self._plan.config.seed)
        with progress_bar() as bar:
            task = bar.add_task("perturbation", total=None, note="")

            def decided(words: str) -> None:
                bar.update(task, advance=1, note=words)
                bar.console.print(words)

            return perturbation.choose(probabilities, self._score, self._tune, rng, decided)

    def _score(self, mixture: np.ndarray) -> float:
        """Returns the mIOU on perturbation_images images of half B."""
        confusion = ConfusionMatrix(self._info.num_classes, self._info.ignore_label)
        for images, labels in self._held_out:
            counts = self._program.confusion(self._state, images, labels, mixtures=self._mixtures(mixture))
            confusion.matrix += np.asarray(counts)
        return confusion.mean_iou()

    def _tune(self, mixture: np.ndarray) -> None:
        """Trains the weights on half A at the lowest rate of the search."""
        rate, mixtures = self._plan.config.weight_end_learning_rate, self._mixtures(mixture)
        for _ in range(self._plan.config.perturbation_tune_steps):
            images, labels = next(self._weights)
            self._state, _ = self._program.train_weights(self._state, images, labels, rate, mixtures=mixtures)

    def _mixtures(self, mixture: np.ndarray) -> dict[str, Any]:
        mixtures = {"alphas": mixture, "betas": self._edge_mixture}
        return {name: keras.ops.convert_to_tensor(values, dtype="float32") for name, values in mixtures.items()}
