"""A loss that is not finite: what is saved, and the sentences that say where, what and why."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.checkpoint.run_state import PROGRESS, Progress, write_progress
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.data.pipeline import Shard, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.errors import UserError
from deeplab_dpc.training import divergence
from deeplab_dpc.training.divergence import check_initial_weights, remade_batch, report_divergence

DATA = DataConfig(data_dir="", train_crop_size=(33, 49))
CONFIG = TrainConfig(training_number_of_steps=500, train_batch_size=8, seed=3, base_learning_rate=0.02)
VALUES = {"loss": math.nan, "cross_entropy": math.nan, "weight_decay": 0.0125, "gradient_norm": math.inf}


def network(**wrong):
    """Two layers; a layer that is named has its kernel's first weight set."""
    model = keras.Sequential([keras.layers.Dense(2, name="features"), keras.layers.Dense(3, name="logits")], name="net")
    model.build((None, 4))
    for name, value in wrong.items():
        kernel = np.zeros(model.get_layer(name).kernel.shape)
        kernel[0, 0] = value
        model.get_layer(name).kernel.assign(kernel)
    return model


def write_checkpoint(workdir, step, value=0.0):
    folder = workdir / "checkpoints" / f"step_{step:08d}"
    folder.mkdir(parents=True)
    np.savez(folder / "weights.npz", **{"logits/weights": np.array([value])})
    write_progress(folder / PROGRESS, Progress(step, []))


def report(workdir, shapes, step=7, values=VALUES, data=DATA, config=CONFIG, model=None, **options):
    return report_divergence(workdir, step, values, model or network(), shapes, data, config, **options)


def causes(workdir, shapes, **options):
    lines = str(report(workdir, shapes, **options)).splitlines()
    return lines[lines.index("Usual causes:") + 1 :]


@pytest.fixture(scope="module")
def batch(shapes):
    return remade_batch(shapes, DATA, CONFIG, step=7)


@pytest.fixture(scope="module")
def reported(shapes, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("diverged")
    write_checkpoint(workdir, 4)
    write_checkpoint(workdir, 6)
    error = report(workdir, shapes, model=network(logits=math.inf))
    return workdir, str(error)


@pytest.fixture
def use(monkeypatch, batch):
    """Lets a changed batch stand for the one of the step."""

    def use(**changes):
        changed = dataclasses.replace(batch, **changes)
        monkeypatch.setattr(divergence, "remade_batch", lambda *arguments: changed)

    return use


def test_batch_is_the_one_that_was_trained_on(shapes, batch):
    stream = training_dataset(shapes, "train", Augmentation.from_config(DATA), batch_size=8, seed=3)
    *_, (images, labels) = stream.take(7)
    np.testing.assert_array_equal(batch.images, images)
    np.testing.assert_array_equal(batch.labels, labels)


def test_batch_lies_whole_in_a_folder_of_the_step(reported, batch):
    folder = reported[0] / "diverged_step_00000007"
    assert sorted(file.name for file in folder.iterdir()) == ["batch.npz", "batch.png", "report.json"]
    with np.load(folder / "batch.npz") as saved:
        np.testing.assert_array_equal(saved["images"], batch.images)
        np.testing.assert_array_equal(saved["labels"], batch.labels)
        assert (saved["images"].dtype, saved["labels"].dtype) == (np.float32, np.int32)


def test_picture_shows_the_images_beside_the_same_under_their_labels(shapes, tmp_path, use):
    images = np.full((8, 33, 49, 3), 100, np.float32)
    images[1], images[2] = np.nan, np.inf
    use(images=images, labels=np.full((8, 33, 49), 1, np.int32))
    report(tmp_path, shapes)
    picture = np.asarray(Image.open(tmp_path / "diverged_step_00000007" / "batch.png"))
    left = [12 + i * (480 + 12) + 50 for i in range(3)]
    row = picture.shape[0] - 50  # the lower of two rows of tiles
    assert picture[row, left[0]].tolist() == [100, 100, 100]
    ground = np.array(shapes.info.palette[1])
    assert picture[row, left[0] + 240].tolist() == np.rint(0.4 * 100 + 0.6 * ground).tolist()
    row = picture.shape[0] - 50 - (162 + 20 + 12)
    assert [picture[row, x].tolist() for x in left] == [[100] * 3, [0] * 3, [255] * 3]


def test_report_holds_what_is_known(reported, batch):
    text = (reported[0] / "diverged_step_00000007" / "report.json").read_text()
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert value["step"] == 7
    assert value["values"] == {
        "loss": "nan",
        "cross_entropy": "nan",
        "weight_decay": 0.0125,
        "gradient_norm": "inf",
    }
    assert value["records"] == batch.records
    assert value["precision"] == "float32"
    assert value["checkpoint_step"] == 6
    assert value["not_finite_variables"] == ["logits/weights"]
    assert value["variables"] == 4
    assert value["images"]["not_finite"] == []
    assert (value["images"]["smallest"], value["images"]["largest"]) == (batch.images.min(), batch.images.max())
    labelled = sum(count for i, count in value["labels"]["pixels_of_id"].items() if i != "255")
    assert value["labels"]["labelled"] == labelled
    assert value["labels"]["pixels"] == 8 * 33 * 49


def test_message_says_where_what_and_how_to_go_on(reported, shapes, batch):
    workdir, message = reported
    assert message.splitlines()[:4] == [
        "Training stopped at step 7: the loss is nan (cross_entropy nan, weight_decay 0.0125), the gradient norm inf.",
        f"The batch, of the split train in {shapes.path}: {', '.join(batch.records)}.",
        f"Saved in {workdir}/diverged_step_00000007: batch.png to look at, batch.npz and report.json.",
        "The same command continues from step 6, and reaches the same batch; to continue from there with other flags, "
        f"add --fork_from={workdir} and give another --workdir.",
    ]


def test_finite_loss_with_an_infinite_gradient_reads_well(shapes, tmp_path, use):
    use()
    values = {"loss": 2.5, "gradient_norm": math.inf, "learning_rate": 0.015}
    message = str(report(tmp_path, shapes, values=values))
    assert message.startswith("Training stopped at step 7: the loss is 2.5, the gradient norm inf.\n")
    assert "--base_learning_rate=0.02 (0.015 at this step) is too high" in message


def test_first_eight_records_stand_for_a_large_batch(shapes, tmp_path, use):
    use(
        images=np.zeros((20, 33, 49, 3), np.float32),
        labels=np.zeros((20, 33, 49), int),
        records=list("abcdefghijklmnopqrst"),
    )
    line = str(report(tmp_path, shapes)).splitlines()[1]
    assert line.endswith(": a, b, c, d, e, f, g, h, ... (20 in all).")


def test_checkpoint_that_is_broken_or_not_finite_is_to_be_removed(shapes, tmp_path, use):
    use()
    for step, value in ((2, 0.0), (4, math.nan), (6, 0.0)):
        write_checkpoint(tmp_path, step, value)
    folder = tmp_path / "checkpoints"
    (folder / "step_00000006" / "weights.npz").write_bytes(b"torn")
    message = str(report(tmp_path, shapes))
    assert (
        f"Remove {folder}/step_00000004, {folder}/step_00000006, which cannot be read or is not finite; then the same "
        "command continues from step 2" in message
    )
    assert json.loads((tmp_path / "diverged_step_00000007" / "report.json").read_text())["checkpoint_step"] == 2


def test_without_a_checkpoint_another_start_is_advised(shapes, tmp_path, use):
    use()
    assert "There is no checkpoint to continue from: change flags and give another --workdir" in str(
        report(tmp_path, shapes)
    )


def test_only_the_first_process_writes(shapes, tmp_path, use):
    use()
    message = str(report(tmp_path, shapes, shard=Shard(1, 2)))
    assert message == str(report(tmp_path / "chief", shapes)).replace(f"{tmp_path}/chief", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["chief"]


def test_full_disk_does_not_hide_the_divergence(shapes, tmp_path, use, monkeypatch):
    use()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(divergence.np, "savez", full)
    message = str(report(tmp_path, shapes))
    assert message.startswith("Training stopped at step 7")
    assert "could not be saved in" in message
    assert "(No space left on device)" in message
    assert list(tmp_path.iterdir()) == []


def test_rate_is_always_suspected(shapes, tmp_path, use):
    use()
    assert causes(tmp_path, shapes) == [
        "* A learning rate of --base_learning_rate=0.02 is too high: try a tenth, --base_learning_rate=0.002, or a "
        "slow start, --slow_start_step=5."
    ]
    config = dataclasses.replace(CONFIG, slow_start_step=10, slow_start_learning_rate=0.0001)
    (cause,) = causes(tmp_path, shapes, config=config)
    assert cause.endswith(
        "or a longer or slower start than --slow_start_step=10 and --slow_start_learning_rate=0.0001."
    )


def test_few_images_at_a_time_with_batch_norm_are_suspected(shapes, tmp_path, use):
    use()
    config = dataclasses.replace(CONFIG, train_batch_size=8, gradient_accumulation_steps=4)
    first, _ = causes(tmp_path, shapes, config=config)
    assert first == (
        "* Batch norm is trained on 2 images at a time (--train_batch_size=8, --gradient_accumulation_steps=4), which "
        "is less than 8: give --fine_tune_batch_norm=false, or a larger batch; accumulation does not help."
    )
    frozen = dataclasses.replace(config, fine_tune_batch_norm=False)
    assert len(causes(tmp_path, shapes, config=frozen)) == 1
    single = dataclasses.replace(CONFIG, train_batch_size=1)
    assert "trained on 1 image at a time" in causes(tmp_path, shapes, config=single)[0]


def test_float16_is_suspected(shapes, tmp_path, use):
    use()
    first, _ = causes(tmp_path, shapes, config=dataclasses.replace(CONFIG, precision="float16"))
    assert first == "* Activations above 65504 are inf in float16: --precision=bfloat16 has the range of float32."
    assert len(causes(tmp_path, shapes, config=dataclasses.replace(CONFIG, precision="bfloat16"))) == 1


def test_batch_without_labelled_pixels_is_named(shapes, tmp_path, use, batch):
    use(labels=np.full_like(batch.labels, 255))
    first, _ = causes(tmp_path, shapes)
    assert first.startswith("* No pixel of the batch is labelled (all are 255): give a larger --train_crop_size")


def test_records_with_ids_out_of_range_are_named(shapes, tmp_path, use, batch):
    labels = batch.labels.copy()
    labels[2, 5, 5], labels[4, 0, 0] = 7, 255
    use(labels=labels)
    first, _ = causes(tmp_path, shapes)
    assert first == (
        f"* The labels of {batch.records[2]} have ids that are none of the 7 classes nor the ignore label 255; "
        "deeplab-dpc check-data reports all of them."
    )


def test_records_with_images_that_are_not_finite_are_named(shapes, tmp_path, use, batch):
    images = batch.images.copy()
    images[1, 3, 4, 0], images[6] = np.inf, np.nan
    use(images=images)
    first, _ = causes(tmp_path, shapes)
    assert first == f"* The images of {batch.records[1]}, {batch.records[6]} hold nan or inf; build the data set again."
    value = json.loads((tmp_path / "diverged_step_00000007" / "report.json").read_text())
    assert value["images"]["not_finite"] == [batch.records[1], batch.records[6]]
    assert 0 <= value["images"]["smallest"] <= value["images"]["largest"] <= 255


def test_initial_weights_that_are_not_finite_are_named():
    check_initial_weights(network())
    with pytest.raises(
        UserError, match="^logits/weights of the network's 4 variables hold nan or inf before the first step"
    ):
        check_initial_weights(network(logits=math.nan))
    with pytest.raises(UserError, match="^features/weights, logits/weights of the network's 4 variables"):
        check_initial_weights(network(features=-math.inf, logits=math.nan))
