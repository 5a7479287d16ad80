"""Evaluates a network on a split: mIOU, IoU by class, accuracies, with confidence intervals."""

import functools
import os
import pathlib
import time
from collections.abc import Sequence

import numpy as np

from deeplab_dpc.api.circumstances import circumstances
from deeplab_dpc.api.loaded import LoadedPredictor
from deeplab_dpc.cli.eval_repeatedly import evaluate_repeatedly
from deeplab_dpc.cli.eval_submission import write_submission
from deeplab_dpc.cli.eval_tables import compare_runs, print_report
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.eval import Flags
from deeplab_dpc.cli.model_source import run_directories
from deeplab_dpc.cli.predictor_source import load_predictor
from deeplab_dpc.cli.run_dataset import dataset_of_run, print_if_rebuilt
from deeplab_dpc.config import JudgeConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.run_data import class_difference
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.advice import advice
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.branch_weights import branch_weights
from deeplab_dpc.evaluation.evaluator import OnImage, evaluate
from deeplab_dpc.evaluation.judge import Judge
from deeplab_dpc.evaluation.measures import metrics_of
from deeplab_dpc.evaluation.report import Report, ignored_class, write_report
from deeplab_dpc.evaluation.report_pictures import write_pictures
from deeplab_dpc.evaluation.stored import evaluation_folder
from deeplab_dpc.evaluation.worst import WorstImages
from deeplab_dpc.files import remove_partial
from deeplab_dpc.locks import only_process


def main(flags: Flags) -> None:
    """Evaluates once or repeatedly, compares, or writes a submission."""
    judging = flags.judging.make()
    if flags.worst_images < 0:
        raise UserError(f"--worst_images must be a number of images, or 0 for none, got {flags.worst_images}.")
    if flags.compare is not None:
        compare_runs(flags, Bootstrap(judging.bootstrap_resamples))
    elif flags.submission is not None:
        loaded = load_predictor(flags.predictor)
        with only_process(flags.submission, "submission", inside=False):
            remove_partial(pathlib.Path(flags.submission).parent, pathlib.Path(flags.submission).name)
            write_submission(flags, loaded, _dataset(flags, loaded))
    elif flags.max_number_of_evaluations != 1:
        source = flags.predictor.source
        if len(run_directories(source)) > 1:
            raise UserError(f"--workdir={source.workdir} names several runs; only one can be evaluated as it trains.")
        evaluate_repeatedly(flags, lambda: _evaluate_once(flags, judging, is_claimed=True))
    else:
        _evaluate_once(flags, judging)


def _evaluate_once(flags: Flags, judging: JudgeConfig, is_claimed: bool = False) -> Report:
    bootstrap = Bootstrap(judging.bootstrap_resamples)
    loaded = load_predictor(flags.predictor)
    dataset = _dataset(flags, loaded)
    folder = _folder(flags, loaded)
    if folder is None or is_claimed:
        return _evaluate(flags, judging, bootstrap, loaded, dataset, folder)
    with only_process(folder, "eval_logdir"):
        remove_partial(folder)
        return _evaluate(flags, judging, bootstrap, loaded, dataset, folder)


def _evaluate(
    flags: Flags,
    judging: JudgeConfig,
    bootstrap: Bootstrap,
    loaded: LoadedPredictor,
    dataset: Dataset,
    folder: pathlib.Path | None,
) -> Report:
    known = circumstances(loaded, dataset, flags.split)
    judge = Judge(dataset.info, judging)
    worst = WorstImages(dataset.info, flags.worst_images) if flags.worst_images else None
    observers: list[OnImage] = [judge.add, *([worst.add] if worst else [])]
    start = time.perf_counter()
    confusion = evaluate(loaded.predictor, dataset, flags.split, on_image=functools.partial(_show, observers))
    seconds = time.perf_counter() - start
    measured = judge.measured()
    cell = loaded.network.config.dense_prediction_cell if loaded.network is not None else None
    report = Report(
        source=loaded.source,
        step=loaded.step,
        info=dataset.info,
        split=flags.split,
        inference=flags.predictor.inference.make() if loaded.network else None,
        judging=judging,
        measured=measured,
        metrics=tuple(metrics_of(one, bootstrap) for one in measured),
        branch_weights=tuple(branch_weights(loaded.network)) if loaded.network is not None and cell else (),
        seconds=seconds,
        advice=advice(dataset.info.class_names, measured[0].counts, known, ignored_class(dataset.info)),
    )
    print_report(report, cell)
    if folder is None:
        console.print("Nothing is written without --eval_logdir.")
        return report
    write_report(folder, report)
    write_pictures(folder, report, confusion, worst, cell)
    console.print(f"Written: {folder}")
    return report


def _show(
    observers: Sequence[OnImage], name: str, image: np.ndarray, label: np.ndarray, prediction: np.ndarray
) -> None:
    for observer in observers:
        observer(name, image, label, prediction)


def _folder(flags: Flags, loaded: LoadedPredictor) -> pathlib.Path | None:
    """Returns the folder of the evaluation; None if nothing is written.

    Raises:
      UserError: if it cannot be written, which would otherwise be found only after the evaluation.
    """
    parent = flags.eval_logdir or loaded.workdir
    if parent is None:
        return None
    folder = evaluation_folder(parent, flags.split).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"{folder} cannot be written: {existing} is not a writable directory; give --eval_logdir.")
    return folder


def _dataset(flags: Flags, loaded: LoadedPredictor) -> Dataset:
    """Returns the data set that the flags name, or that of the run.

    Raises:
      UserError: if it is absent, or its classes are not the network's.
    """
    runs = [loaded.workdir] if loaded.workdir is not None else run_directories(flags.predictor.source)
    if flags.data_dir is None and runs:
        dataset = dataset_of_run(pathlib.Path(runs[0]))
    else:
        classes = flags.predictor.source.classes
        dataset = find_dataset(required("data_dir", flags.data_dir), flags.dataset, classes)
    if loaded.workdir is not None:
        print_if_rebuilt(loaded.workdir, dataset, flags.split)
    is_named = bool(runs) or flags.predictor.exported_model is not None or flags.predictor.source.classes is not None
    if flags.check_class_names and is_named and len(loaded.class_names) == dataset.info.num_classes:
        difference = class_difference(loaded.class_names, dataset.info.class_names)
        if difference is not None:
            raise UserError(
                f"The classes of the network, {loaded.source}, are not those of the data set in {dataset.path}: "
                f"{difference}; give data with the network's classes, or --nocheck_class_names where the names differ "
                "and the ids mean the same."
            )
    return dataset
