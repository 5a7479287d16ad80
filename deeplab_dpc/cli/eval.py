"""Evaluates a network on a split: mIOU, IoU by class, accuracies, with confidence intervals."""

import os
import pathlib

from deeplab_dpc.api.judging import judge_predictor, require_same_classes
from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.cli.eval_repeatedly import evaluate_repeatedly
from deeplab_dpc.cli.eval_tables import compare_runs, print_report
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.eval import SERVERS, Flags
from deeplab_dpc.cli.model_source import load_predictor, run_directories
from deeplab_dpc.cli.run_dataset import dataset_of_run, print_if_rebuilt
from deeplab_dpc.config import JudgeConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.evaluator import predictions
from deeplab_dpc.evaluation.report import Report, write_pictures, write_report
from deeplab_dpc.evaluation.stored import evaluation_folder
from deeplab_dpc.evaluation.submission import open_submission
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
            _write_submission(flags, loaded, _dataset(flags, loaded))
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
    worst = WorstImages(dataset.info, flags.worst_images) if flags.worst_images else None
    on_image = [worst.add] if worst else []
    inference = flags.predictor.inference.make()
    report, confusion = judge_predictor(loaded, dataset, flags.split, judging, bootstrap, inference, on_image=on_image)
    print_report(report, loaded.cell)
    if folder is None:
        console.print("Nothing is written without --eval_logdir.")
        return report
    write_report(folder, report)
    write_pictures(folder, report, confusion, worst, loaded.cell)
    console.print(f"Written: {folder}")
    return report


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
    if flags.check_class_names and is_named:
        require_same_classes(loaded, dataset)
    return dataset


def _write_submission(flags: Flags, loaded: LoadedPredictor, dataset: Dataset) -> None:
    """Writes the predictions of --split to --submission, without reading the labels.

    Raises:
      UserError: if no server accepts the data set, or as raised by Submission and `predictions`.
    """
    path = required("submission", flags.submission)
    server = flags.submission_server or dataset.info.name
    if server not in SERVERS:
        raise UserError(
            f"No test server is known for the data set {server}; choose the form of the submission with "
            f"--submission_server={'|'.join(SERVERS)}."
        )
    num_classes = loaded.predictor.num_classes
    with open_submission(server, path, num_classes, flags.voc_competition) as submission:
        for name, _, _, prediction in predictions(loaded.predictor, dataset, flags.split):
            submission.add(name, prediction)
    console.print(f"Written: {path}")
