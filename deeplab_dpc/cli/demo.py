"""The whole path on the embedded data set: draw, pretrain, search, re-rank, train, evaluate, export, predict."""

import importlib
import pathlib

import keras
from absl import flags

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.cli.main import parse
from deeplab_dpc.console import console, print_table
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.example import filename_text
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.evaluation.visualize import save_rgb_png
from deeplab_dpc.files import read_json

PREDICTED = 12  # validation images that are predicted as pictures
CURVE_POINTS = 10  # of curves.png


def main(values: flags.FlagValues) -> None:
    """Runs the commands one after another in this process; started again, it continues."""
    root = pathlib.Path(values.workdir)
    data, pretrained, search, run = root / "data", root / "pretrained", root / "search", root / "train"
    sizes = {"num_train": values.num_train, "num_val": values.num_val}
    _run("build_shapes", data_dir=data, **sizes)
    # A narrow backbone, since it starts from nothing, and little change of scale, since size tells the classes apart.
    small = {"depth_multiplier": 0.5, "min_scale_factor": 0.75, "max_scale_factor": 1.25}
    _run(
        "train",
        data_dir=data,
        workdir=pretrained,
        dense_prediction_cell_json="conv1x1",
        training_number_of_steps=values.pretrain_steps,
        eval_interval_steps=0,
        base_learning_rate=0.1,
        **small,
    )
    _run(
        "search",
        data_dir=data,
        workdir=search,
        tf_initial_checkpoint=pretrained,
        num_candidates=values.num_candidates,
        proxy_steps=values.proxy_steps,
        proxy_learning_rate=0.05,
        num_best=3,
        lookahead=1,
        rerank_top_k=values.rerank_top_k,
        rerank_steps=values.rerank_steps,
        rerank_learning_rate=0.05,
        warm_starts=",".join(values.warm_starts),
        contest_rounds=values.contest_rounds,
        contest_seeds=values.contest_seeds,
        **small,
    )
    best = read_json(search / "verdict.json", "verdict of the search")["best"]
    # The winner's own training goes on; without a contest it begins here.
    start = {"fork_from": best["run"]} if best["run"] else {"tf_initial_checkpoint": pretrained}
    _run(
        "train",
        data_dir=data,
        workdir=run,
        dense_prediction_cell_json=search / "cells" / "best.json",
        **start,
        training_number_of_steps=values.training_number_of_steps,
        log_steps=max(1, values.training_number_of_steps // CURVE_POINTS),
        eval_interval_steps=max(1, values.training_number_of_steps // 3),
        base_learning_rate=0.05,
        **small,
    )
    _run("eval", workdir=run, split="val")
    if not (root / "saved_model").exists():
        _run("export", workdir=run, export_dir=root / "saved_model")
    _write_images(data, root / "images")
    _run("predict", workdir=run, images=root / "images", output_dir=root / "predictions")
    _summarize(root, search, run)


def _run(command: str, **arguments: object) -> None:
    argv = [f"--{name}={value}" for name, value in arguments.items()]
    shown = "datasets/" + command if command.startswith("build") else command
    console.print(f"\npython {shown}.py {' '.join(argv)}", style="bold")
    keras.utils.clear_session()
    flag_module = importlib.import_module(f"deeplab_dpc.cli.flags.{command}")
    importlib.import_module(f"deeplab_dpc.cli.{command}").main(parse(flag_module, command, argv))


def _write_images(data: pathlib.Path, folder: pathlib.Path) -> None:
    dataset = find_dataset(data)
    examples = evaluation_dataset(dataset, "val").take(PREDICTED)
    for example in iterate(examples, f"The split val of {dataset.path}", dataset.shards("val")):
        stem = pathlib.Path(filename_text(example["filename"])).stem
        save_rgb_png(folder / f"{stem}.png", example["image"])


def _summarize(root: pathlib.Path, search: pathlib.Path, run: pathlib.Path) -> None:
    results = read_json(search / "results.json", "search results")
    best = Cell.from_json(read_json(search / "cells" / "best.json", "cell file"))
    final = read_json(run / "eval_val" / "metrics.json", "evaluation")["miou"]
    rows = []
    for result in results:
        if result["given_up"]:
            continue
        is_best = Cell.from_json(result["cell"]) == best
        if not is_best and result["draw"] != "given" and result["reranked_miou"] is None:
            continue
        reranked = result["reranked_miou"]
        rows.append(
            (
                f"{result['name']} *" if is_best else result["name"],
                f"{result['proxy_miou']:.4f}",
                "-" if reranked is None else f"{reranked:.4f}",
                f"{final:.4f}" if is_best else "-",
                f"{result['parameters'] / 1e6:.2f}M",
                f"{result['multiply_adds'] / 1e6:.1f}M",
            )
        )
    columns = ("name", "proxy score", "re-ranked score", "mIOU", "parameters", "multiply-adds")
    print_table("The search, and the winner (*) after training", columns, rows)
    console.print(read_json(search / "verdict.json", "verdict of the search")["sentence"], soft_wrap=True)
    for what, path in (
        ("cell", search / "cells" / "best.json"),
        ("drawing", search / "cells" / "best.png"),
        ("report", search / "report.html"),
        ("evaluation", run / "eval_val"),
        ("SavedModel", root / "saved_model"),
        ("overlays", root / "predictions" / "overlays"),
    ):
        console.print(f"{what:<11}{path}")
