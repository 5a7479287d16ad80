"""Evaluates a network on a split: mIOU, IoU by class, pixel accuracy, as a table and as JSON."""

import pathlib

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.predictor_source import LoadedPredictor, define_predictor_flags, load_predictor
from deeplab_dpc.config import DataConfig
from deeplab_dpc.console import console, print_table
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.evaluation.evaluator import evaluate
from deeplab_dpc.files import write_json
from deeplab_dpc.run_config import read_run


def define_flags(values: flags.FlagValues) -> None:
    """The flags of eval.py."""
    define_predictor_flags(values)
    flags.DEFINE_string("split", "val", "Split to evaluate.", flag_values=values)
    flags.DEFINE_string("data_dir", None, "Prepared data set; by default the run's.", flag_values=values)
    flags.DEFINE_string("dataset", None, "Its name, where --data_dir holds several.", flag_values=values)
    flags.DEFINE_string("eval_logdir", None, "Where the JSON goes; by default the run directory.", flag_values=values)


def main(values: flags.FlagValues) -> None:
    """Evaluates, prints a table and writes eval_SPLIT.json."""
    loaded = load_predictor(values)
    dataset = _dataset(values, loaded)
    metrics = evaluate(loaded.predictor, dataset, values.split).metrics(dataset.info.class_names)
    rows = [(name, "absent" if iou is None else f"{100 * iou:.2f}") for name, iou in metrics["per_class_iou"].items()]
    rows.append(("mIOU", f"{100 * metrics['miou']:.2f}"))
    rows.append(("pixel accuracy", f"{100 * metrics['pixel_accuracy']:.2f}"))
    rows.append(("mean class accuracy", f"{100 * metrics['mean_class_accuracy']:.2f}"))
    print_table(f"{dataset.info.name}/{values.split}, {loaded.source}", ("class", "IoU %"), rows)
    folder = values.eval_logdir or loaded.workdir
    if folder is not None:
        path = pathlib.Path(folder) / f"eval_{values.split}.json"
        write_json(path, {"source": loaded.source, **metrics})
        console.print(f"Written: {path}")


def _dataset(values: flags.FlagValues, loaded: LoadedPredictor) -> Dataset:
    if values.data_dir is None and loaded.workdir is not None:
        data = DataConfig.from_json(read_run(loaded.workdir)["data"])
        return find_dataset(data.data_dir, data.dataset, data.classes)
    flag_groups.required(values, "data_dir")
    return find_dataset(values.data_dir, values.dataset, values.classes)
