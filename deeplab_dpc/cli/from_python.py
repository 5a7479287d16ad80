"""The commands `fit` and `search` as Python functions."""

import dataclasses
import importlib
import os
import pathlib
from collections.abc import Mapping

from deeplab_dpc.api.arguments import naming_arguments, require_path
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.cli.fit_state import flag_text
from deeplab_dpc.cli.fit_verdict import read_verdict
from deeplab_dpc.cli.main import own_flags, parse
from deeplab_dpc.files import read_json
from deeplab_dpc.run_config import FIT_VERDICT
from deeplab_dpc.search.contest.best_cells import VERDICT_FILE as SEARCH_VERDICT


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Holds the result of `fit`.

    Attributes:
      workdir: directory of all results: `index.html`, `plan.json`, `model/` (SavedModel), `model.tflite`, the runs.
      run: run directory of the exported network, for `Segmenter.from_preset` and `Predictor`.
      miou: mIOU of that network on the split val, in [0, 1].
      sentence: verdict in one sentence: the mIOU with its interval, and the advantage over the other network.
    """

    workdir: pathlib.Path
    run: pathlib.Path
    miou: float
    sentence: str


@naming_arguments()
def fit(workdir: str | os.PathLike[str], *, hours: float = 1.0, **options: object) -> Fitted | None:
    """Makes an exported network from images and labels in about a given time, as the command `fit` does.

    It converts and checks the data, plans, trains a baseline, searches cells and holds their contest if time and images
    allow, completes the training of the best network, evaluates it and exports it. After a stop at any moment, the same
    call continues.

    Example:
        from deeplab_dpc import Segmenter, fit

        # Without data_dir: fit("R", images="photos", labels="masks", hours=1)
        fitted = fit("R", data_dir="DATA", hours=0.05, search=False, baseline_steps=2, training_number_of_steps=3)
        print(fitted.sentence)
        model = Segmenter.from_preset(fitted.run)

    Args:
      workdir: directory of all results.
      hours: time for all stages, in hours; 0.01 or more.
      **options: flags of the command by name (docs/fit.md): `images` and `labels` or `data_dir` (the embedded data set
        without them), `classes`, `tf_initial_checkpoint`, and any choice of the plan. A list of values may be a Python
        list.

    Returns:
      The result; None with `plan_only=True`, which only writes the plan.

    Raises:
      UserError: if an option is invalid, or the data cannot be used.
      TypeError: if there is no such option.
    """
    _run("fit", {"workdir": workdir, "hours": hours, **options})
    root = pathlib.Path(workdir)
    if not (root / FIT_VERDICT).exists():
        return None
    verdict = read_verdict(root)
    return Fitted(root, root / verdict["run"], verdict["miou"], verdict["sentence"])


@dataclasses.dataclass(frozen=True)
class Searched:
    """Holds the result of `run_search`.

    Attributes:
      workdir: run directory of the search, with `report.html`, `results.json` and the cells.
      best: best cell, whether drawn or given; None while no cell is scored.
      sentence: verdict in one sentence: the best cell, its advantages with their intervals, and its probability of
        being the best.
      miou: mIOU of the best cell after its training in the contest, in [0, 1]; None without a contest.
      run: run directory of that training, for `Segmenter.from_preset` and `Predictor`; None without a contest.
    """

    workdir: pathlib.Path
    best: Cell | None
    sentence: str
    miou: float | None
    run: pathlib.Path | None


@naming_arguments()
def run_search(workdir: str | os.PathLike[str], **options: object) -> Searched:
    """Searches cells on the features of a backbone and holds the contest of the best, as the command `search` does.

    After a stop at any moment, the same call continues. For an evaluator of your own, use `search_cells`.

    Example:
        from deeplab_dpc import run_search

        found = run_search(
            "NEW_SEARCH",
            data_dir="DATA",
            depth_multiplier=0.1,
            train_crop_size=(33, 33),
            num_candidates=1,
            warm_starts=["conv1x1"],
            proxy_steps=2,
            rerank_top_k=0,
        )
        print(found.sentence)
        print(found.best.summary())

    Args:
      workdir: run directory of the search.
      **options: flags of the command by name (docs/search.md): `data_dir`, `tf_initial_checkpoint`, `num_candidates`,
        `workers`, and all others of search and network. A list of values may be a Python list.

    Returns:
      The result so far; without a best cell for `mode="cache"` and `propose_only=True`, which score no cells.

    Raises:
      UserError: if an option is invalid, or the data cannot be used.
      TypeError: if there is no such option.
    """
    _run("search", {"workdir": workdir, **options})
    root = pathlib.Path(workdir)
    if not (root / SEARCH_VERDICT).exists():
        return Searched(root, None, "", None, None)
    verdict = read_json(root / SEARCH_VERDICT, "verdict of the search")
    best = verdict["best"]
    if best is None:
        return Searched(root, None, verdict["sentence"], None, None)
    # Relative to the workdir, since the stored path may be relative to another current directory.
    run = None if best["run"] is None else root.joinpath(*pathlib.Path(best["run"]).parts[-3:])
    return Searched(root, Cell.from_json(best["cell"]), verdict["sentence"], best["miou"], run)


def _run(command: str, options: Mapping[str, object]) -> None:
    """Runs a command with the options as its flags; options that are None are left out."""
    require_path("workdir", options["workdir"])
    known = own_flags(command)
    if unknown := [name for name in options if name not in known]:
        name = "run_search" if command == "search" else command
        raise TypeError(f"{name}() has no option {unknown[0]!r}; `deeplab-dpc {command} --helpfull` lists all.")
    argv = [f"--{name}={flag_text(value)}" for name, value in options.items() if value is not None]
    importlib.import_module(f"deeplab_dpc.cli.{command}").main(parse(command, argv))
