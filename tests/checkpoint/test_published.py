"""Published checkpoints by name, at both doors; the one that is served here is a narrow network."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from published_host import archive_of

from deeplab_dpc import Predictor, Segmenter
from deeplab_dpc.api.loaded import model_of_checkpoint
from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.published import ADE20K, CHECKPOINTS, CITYSCAPES, CLASSES, VOC
from deeplab_dpc.checkpoint.restore import restore_for_training
from deeplab_dpc.cli.main import execute
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.data.known_classes import known_classes
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter

NAME = "mobilenetv2_dm05_coco_voc_trainval"
CONFIG = ModelConfig(21, depth_multiplier=0.1)


@pytest.fixture(scope="module")
def arrays():
    return named_arrays(build_segmenter(CONFIG))


@pytest.fixture
def published(host, arrays, write_tf1_checkpoint, tmp_path):
    """A host that has the checkpoint of that name."""
    (tmp_path / "written").mkdir()
    write_tf1_checkpoint(tmp_path / "written" / "model.ckpt", arrays)
    files = {f"folder/{path.name}": path.read_bytes() for path in (tmp_path / "written").iterdir()}
    host.files[f"/models/{CHECKPOINTS[NAME].archive}"] = archive_of(files)
    return host


@pytest.fixture
def photograph(tmp_path, rng):
    (tmp_path / "photographs").mkdir()
    path = tmp_path / "photographs" / "one.png"
    Image.fromarray(rng.integers(0, 256, (49, 33, 3), "uint8")).save(path)
    return path


@pytest.mark.long
def test_name_is_all_that_a_prediction_needs(published, photograph, tmp_path, capsys):
    argv = [f"--checkpoint_path={NAME}", f"--images={photograph.parent}", f"--output_dir={tmp_path}/P"]
    assert execute("predict", argv) == 0
    said = capsys.readouterr().out
    assert f"The network of {NAME}: by its variables --model_variant=mobilenet_v2 --depth_multiplier=0.1" in said
    assert "The 21 classes are taken for those of PASCAL VOC 2012" in said
    mask = np.asarray(Image.open(tmp_path / "P" / "class_ids" / "one.png"))
    predictor = Predictor(NAME)
    np.testing.assert_array_equal(predictor.predict(photograph).mask, mask)
    assert (predictor.class_names[15], predictor.palette[15]) == ("person", (192, 128, 128))
    model = Segmenter.from_preset(NAME, output_stride=8)
    assert (model.config.output_stride, model.class_names) == (8, predictor.class_names)
    assert len(published.asked) == 1


def test_training_starts_from_a_name(published, arrays):
    model = build_segmenter(CONFIG)
    report = restore_for_training(model, NAME)
    assert (report.source, set(report.restored)) == (NAME, set(arrays))
    report = restore_for_training(model, NAME, other_classes="class 1 was 'aeroplane' and is 'sky'")
    assert "The logits start fresh: the checkpoint has other classes" in str(report)


def test_without_a_network_nothing_is_left(host, photograph, tmp_path, capsys):
    argv = [f"--checkpoint_path={NAME}", f"--images={photograph}", f"--output_dir={tmp_path}/P"]
    assert execute("predict", argv) == 2
    error = capsys.readouterr().err
    assert "the answer is 404 Not Found" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "P").exists()


def test_fit_downloads_its_start_before_anything_else(host, tmp_path, capsys):
    assert execute("fit", [f"--tf_initial_checkpoint={NAME}", f"--workdir={tmp_path}/R"]) == 2
    assert "the answer is 404 Not Found" in capsys.readouterr().err
    assert not (tmp_path / "R").exists()


def test_document_has_the_table_of_the_names():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    rows = [
        (
            f"`{name}`",
            one.network,
            one.dataset or "-",
            one.miou or "-",
            "-" if one.megabytes is None else f"{one.megabytes:g}",
            f"`{one.archive}`",
        )
        for name, one in CHECKPOINTS.items()
    ]
    assert [line for line in text.splitlines() if line.endswith(".tar.gz` |")] == [
        f"| {' | '.join(row)} |" for row in rows
    ]


@pytest.mark.parametrize("command", ["predict", "describe", "fit", "train"])
def test_unknown_name_is_answered_with_near_ones(command, host, shapes, photograph, tmp_path, capsys):
    given = "mobilenetv2_coco_voc_train_aug"
    argv = {
        "predict": [f"--checkpoint_path={given}", f"--images={photograph}", f"--output_dir={tmp_path}/P"],
        "describe": [f"--checkpoint_path={given}"],
        "fit": [f"--tf_initial_checkpoint={given}", f"--workdir={tmp_path}/R"],
        "train": [
            *(f"--tf_initial_checkpoint={given}", f"--workdir={tmp_path}/R", f"--data_dir={shapes.path}"),
            *("--depth_multiplier=0.1", "--train_crop_size=33,33"),
        ],
    }
    assert execute(command, argv[command]) == 2
    assert "did you mean mobilenetv2_coco_voc_trainaug or " in capsys.readouterr().err
    assert host.asked == []


def test_network_of_a_checkpoint_is_described(published, capsys):
    assert execute("describe", [f"--checkpoint_path={NAME}", "--input_size=33,33"]) == 0
    said = capsys.readouterr().out
    assert "mobilenet_v2, 33 x 33, 21 classes" in said
    assert execute("describe", [f"--checkpoint_path={NAME}", "--workdir=run"]) == 2
    assert "Give one of --workdir and --checkpoint_path" in capsys.readouterr().err


def test_flag_that_contradicts_the_variables_is_named(published):
    with pytest.raises(UserError, match=f"{NAME} is the checkpoint of another model: .*; pass --num_classes=21"):
        model_of_checkpoint(NAME, {"num_classes": 5})


@pytest.mark.parametrize(
    ("dataset", "class_id", "name", "ignore_label"),
    [(VOC, 15, "person", 255), (CITYSCAPES, 18, "bicycle", 255), (ADE20K, 150, "flag", 0)],
)
def test_classes_come_along(dataset, class_id, name, ignore_label):
    known = known_classes(CLASSES[dataset])
    assert (known.dataset, known.names[class_id], known.ignore_label) == (dataset, name, ignore_label)
    assert len(known.names) == len(set(known.names)) == len(known.palette)
