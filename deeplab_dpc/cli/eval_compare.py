"""Compares the evaluations of two runs (eval.py --compare); no weights are loaded."""

import pathlib

from absl import flags

from deeplab_dpc.cli.eval_tables import print_comparison
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.comparison import compare, find_evaluation
from deeplab_dpc.evaluation.scores import occurrence_note
from deeplab_dpc.evaluation.stored import read_evaluation
from deeplab_dpc.files import remove_partial, write_json

COMPARISON_FILE = "comparison.json"


def compare_runs(values: flags.FlagValues, bootstrap: Bootstrap) -> None:
    """Prints the differences, and writes them to --eval_logdir if that is given.

    Raises:
      UserError: if --compare is not two paths, one has no evaluation of --split, or they have different images, labels
        or classes.
    """
    paths = values.compare.split(",")
    if len(paths) != 2 or not all(paths):
        raise UserError(f"--compare must be RUN_A,RUN_B, two directories, got {values.compare}.")
    given = [name for name in ("workdir", "checkpoint_path", "exported_model") if values[name].value is not None]
    if given:
        raise UserError(f"--compare reads evaluations that have been made; leave out --{given[0]}.")
    folders = [find_evaluation(path, values.split) for path in paths]
    first, second = (read_evaluation(folder) for folder in folders)
    comparison = compare(first, second, bootstrap)
    title = f"{first.subject.dataset}/{first.subject.split}, {comparison.num_images} images"
    note = occurrence_note(*first.measured[0].counts.sums().occurring(first.subject.ignore_label))
    title += f"; {note}" if note else ""
    print_comparison(title, (str(folders[0]), str(folders[1])), comparison)
    if values.eval_logdir is not None:
        path = pathlib.Path(values.eval_logdir) / COMPARISON_FILE
        remove_partial(path.parent, path.name)
        write_json(path, {"first": str(folders[0]), "second": str(folders[1]), **comparison.to_json()})
        console.print(f"Written: {path}")
