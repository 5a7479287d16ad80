"""The flagfiles of recipes/: they parse, describe networks that can be built, agree with docs/recipes.md, and start."""

import dataclasses
import json
import pathlib
import re
import shlex
import shutil

import pytest

from deeplab_dpc.cli.main import execute, parse
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.data.dataset_info import INFO_FILE, Dataset, load_dataset
from deeplab_dpc.data.record_files import TFDS_INFO
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.models.summary import summarize
from deeplab_dpc.training import rehearsal

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.flags"))
TABLE = ROOT / "docs" / "recipes.md"
NUM_CLASSES = {"cityscapes": 19, "voc2012": 21, "coco": 21, "person": 7, "ade20k": 151}
DEEP = ("cityscapes_xception_65_aspp", "voc2012_trainval_xception_71_dpc")  # whose own backbones are run
OTHER_FILTERS = (  # else as cityscapes_auto_deeplab_s
    *("cityscapes_auto_deeplab_m", "cityscapes_auto_deeplab_l", "voc2012_train_aug_auto_deeplab_l"),
    *("coco_pretraining_auto_deeplab_l", "ade20k_auto_deeplab_l"),
)
VOC_SPLITS = ("train_aug", "trainval")
SPLITS = ("train_aug", "train_extra")  # that the drawn data set does not have


def _comments(path: pathlib.Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.removeprefix("#") for line in lines if line.startswith("#"))


def _commands(path: pathlib.Path) -> list[tuple[str, list[str]]]:
    """The commands in a recipe's comments: (key of COMMANDS, flags); a backslash continues a line."""
    text = _comments(path).replace("\\\n", " ")
    found = re.findall(r"^ +python (?:datasets/)?(\w+)\.py (.+)$", text, re.MULTILINE)
    return [(command, shlex.split(arguments)) for command, arguments in found]


def _command(path: pathlib.Path) -> str:
    """The command that the recipe is for."""
    return next(command for command, arguments in _commands(path) if arguments[0].startswith("--flagfile="))


def _parse(command: str, *argv: str):
    return parse(command, list(argv))


TRAINING = [path for path in RECIPES if _command(path) == "train"]


@dataclasses.dataclass(frozen=True)
class Configs:
    """What a training recipe says."""

    model: ModelConfig
    data: DataConfig
    train: TrainConfig


def _configs(path: pathlib.Path, dataset: Dataset) -> Configs:
    flags = _parse("train", f"--flagfile={path}", f"--data_dir={dataset.path}")
    model = flags.network.config(NUM_CLASSES[path.stem.split("_")[0]])
    return Configs(model, flags.data.config(dataset, model.alignment), flags.training.make())


@pytest.fixture(scope="module")
def dataset(shapes, tmp_path_factory) -> Dataset:
    """The drawn data set, with the splits of VOC 2012 as copies of train."""
    path = shutil.copytree(shapes.path, tmp_path_factory.mktemp("splits") / "shapes")
    info = json.loads((path / INFO_FILE).read_text())
    for split in SPLITS:
        for shard in shapes.shards("train"):
            shutil.copy(shard, path / shard.name.replace("train", split, 1))
        for facts in (info["splits"], info["max_size"]):
            facts[split] = facts["train"]
    (path / INFO_FILE).write_text(json.dumps(info))
    written = json.loads((path / TFDS_INFO).read_text())
    train = next(split for split in written["splits"] if split["name"] == "train")
    written["splits"] += [{**train, "name": split} for split in SPLITS]
    (path / TFDS_INFO).write_text(json.dumps(written))
    return load_dataset(path)


def _by_name(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


@_by_name(RECIPES)
def test_commands_in_the_comments_parse_and_name_this_file(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    commands = _commands(path)
    assert commands
    for command, arguments in commands:
        _parse(command, *arguments)
        files = [argument for argument in arguments if argument.startswith("--flagfile=")]
        assert files in ([], [f"--flagfile=recipes/{path.name}"])


@_by_name(RECIPES)
def test_recipe_describes_a_network_that_can_be_built(path, dataset):
    command = _command(path)
    if command == "train":
        configs = _configs(path, dataset)
        model, crop = configs.model, configs.data.train_crop_size
    elif command == "search":
        flags = _parse("search", f"--flagfile={path}")
        flags.search.make()
        model, crop = flags.network.fields.make(num_classes=19), flags.data.train_crop_size or (321, 321)
    else:
        model, crop = (
            _parse(command, f"--flagfile={path}").source.network.config(num_classes=19),
            (1025, 2049),
        )
    assert all(side % model.alignment == 1 for side in crop)
    logits_stride = min(model.decoder_output_stride or (model.output_stride,))
    height, width = ((side - 1) // logits_stride + 1 for side in crop)
    assert summarize(Segmenter(model), crop).output_shape == (height, width, model.num_classes)


def _table() -> dict[str, dict[str, str]]:
    """The table of docs/recipes.md: its columns by recipe."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    return {row[0].strip("`"): dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_table_lists_every_recipe_for_training():
    assert sorted(_table()) == sorted(path.stem for path in TRAINING)


def _context(model: ModelConfig, cell: str | None) -> str:
    if cell:
        return cell
    return f"ASPP {','.join(map(str, model.atrous_rates))}" if model.atrous_rates else "image pooling"


@_by_name(TRAINING)
def test_table_agrees_with_the_flagfile(path, dataset):
    configs, row = _configs(path, dataset), _table()[path.stem]
    cell = _parse("train", f"--flagfile={path}").network.dense_prediction_cell_json
    assert row["backbone"] == configs.model.model_variant
    assert row["context"] == _context(configs.model, cell)
    assert row["decoder"] == (",".join(map(str, configs.model.decoder_output_stride)) or "none")
    assert row["split"] == configs.data.train_split
    assert int(row["output stride"]) == configs.model.output_stride
    assert (int(row["crop"]),) * 2 == configs.data.train_crop_size
    assert int(row["batch"]) == configs.train.train_batch_size
    assert int(row["steps"]) == configs.train.training_number_of_steps
    assert float(row["rate"]) == configs.train.base_learning_rate


@_by_name(TRAINING)
def test_expected_miou_is_the_same_in_the_table_and_in_the_flagfile(path):
    expected = re.search(r"^ Expected: (.+)$", _comments(path), re.MULTILINE).group(1)
    published = re.findall(r"\d\d\.\d+", _table()[path.stem]["expected mIOU"])
    assert published[:1] == re.findall(r"\d\d\.\d+", expected)[:1]
    assert all(value in _comments(path) for value in published)
    assert bool(published) != ("no mIOU is published" in expected)


@_by_name(TRAINING)
def test_protocol_is_the_published_one(path, dataset):
    configs = _configs(path, dataset)
    second_stage = configs.data.train_split == "trainval"
    assert configs.train.fine_tune_batch_norm is not second_stage
    assert (configs.train.optimizer, configs.train.momentum) == ("momentum", 0.9)
    assert (configs.train.learning_policy, configs.train.learning_power) == ("poly", 0.9)
    assert configs.train.weight_decay == 4e-5
    scales = (configs.data.min_scale_factor, configs.data.max_scale_factor, configs.data.scale_factor_step_size)
    assert scales == (0.5, 2.0, 0.25)


def test_second_stage_on_voc_has_the_network_of_the_first(dataset):
    first, second = (
        _configs(ROOT / "recipes" / f"voc2012_{split}_xception_71_dpc.flags", dataset).model for split in VOC_SPLITS
    )
    assert dataclasses.replace(second, output_stride=first.output_stride) == first


@pytest.fixture
def fast_steps(monkeypatch):
    """One timed step, not compiled: to compile those of all recipes takes minutes."""
    import tensorflow as tf

    monkeypatch.setattr(rehearsal, "TIMED_STEPS", 1)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`:UserWarning")
@pytest.mark.usefixtures("fast_steps")
@_by_name([path for path in TRAINING if path.stem not in OTHER_FILTERS])
def test_recipe_starts_with_a_dry_run(path, dataset, capsys):
    """The deep Xceptions are run once each; the other recipes of theirs have a small backbone in their place."""
    smaller = ["--train_crop_size=33,33", "--train_batch_size=1"]
    if path.stem not in DEEP:
        smaller.append("--model_variant=mobilenet_v2")
    argv = [f"--flagfile={path}", f"--data_dir={dataset.path}", *smaller, "--dry_run"]
    assert execute("train", argv) == 0, capsys.readouterr().err
    assert "33 x 33" in capsys.readouterr().out


@pytest.fixture
def flagfile(tmp_path) -> str:
    path = tmp_path / "a.flags"
    path.write_text("--atrous_rates=6\n--atrous_rates=12\n--model_variant=xception_65\n")
    return f"--flagfile={path}"


@pytest.mark.parametrize(
    ("before", "after", "rates", "variant"),
    [
        ([], [], (6, 12), "xception_65"),
        ([], ["--atrous_rates=3", "--atrous_rates=9"], (3, 9), "xception_65"),
        ([], ["--model_variant=xception_71"], (6, 12), "xception_71"),
        (["--atrous_rates=3", "--model_variant=xception_71"], [], (6, 12), "xception_65"),
    ],
)
def test_what_comes_later_replaces_a_flagfile(flagfile, before, after, rates, variant):
    for file in ([flagfile], flagfile.split("=", 1)):
        config = _parse("train", *before, *file, *after).network.config(num_classes=2)
        assert (config.atrous_rates, config.model_variant) == (rates, variant)


def test_search_of_the_paper_has_its_protocol():
    flags = _parse("search", "--flagfile=recipes/cityscapes_search.flags")
    config = flags.search.make()
    assert (config.num_candidates, config.proxy_steps, config.proxy_batch_size) == (28_000, 30_000, 8)
    assert (config.sampler, config.warm_starts, config.lookahead, config.halving_rungs) == ("paper", (), 400, 1)
    assert (config.rerank_top_k, config.rerank_steps, config.rerank_batch_size) == (50, 90_000, 16)
    assert flags.feature_views == 0
    assert not config.rerank_warm_starts
    assert "leaves open" in _comments(ROOT / "recipes" / "cityscapes_search.flags")
