"""Prediction, evaluation, training and export from Python, on a run of two steps."""

import keras
import numpy as np
import pytest
from PIL import Image

from deeplab_dpc import (
    Predictor,
    SearchSpace,
    Segmenter,
    UserError,
    evaluate,
    export_model,
    read_dataset,
    search_cells,
    train,
    training_dataset,
)
from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.image_files import decode_image
from deeplab_dpc.files import read_json, write_json


@pytest.fixture(scope="module")
def run(examples_folder):
    return examples_folder / "RUN"


@pytest.fixture(scope="module")
def dataset(examples_folder):
    return read_dataset(examples_folder / "DATA")


@pytest.fixture(scope="module")
def photo(examples_folder):
    return examples_folder / "photo.png"


def test_masks_are_those_of_the_command(run, photo, tmp_path):
    assert execute("predict", [f"--workdir={run}", f"--images={photo}", f"--output_dir={tmp_path}"]) == 0
    prediction = Predictor(run).predict(photo)
    np.testing.assert_array_equal(prediction.mask, np.asarray(Image.open(tmp_path / "class_ids" / "photo.png")))
    np.testing.assert_array_equal(prediction.overlay(), np.asarray(Image.open(tmp_path / "overlays" / "photo.png")))
    assert (prediction.mask.dtype, prediction.path, prediction.probabilities) == ("int32", photo, None)


def test_files_arrays_and_pillow_images_are_predicted_alike(run, photo, examples_folder):
    predictor = Predictor(str(run), checkpoint="best")
    image = decode_image(photo, "photo")
    expected = predictor.predict(photo).mask
    for same in (str(photo), image, Image.fromarray(image)):
        np.testing.assert_array_equal(predictor.predict(same).mask, expected)
    each = list(predictor.predict_each(examples_folder / "photos"))
    assert [one.path.name for one in each] == ["0.png", "1.png"]
    np.testing.assert_array_equal(each[0].mask, expected)
    assert len(list(predictor.predict_each([photo, image[:20, :30]]))) == 2


def test_several_runs_predict_the_mean(run, dataset, photo, tmp_path, capsys):
    other = Segmenter.from_preset(run)
    other.set_weights([weight * 1.5 for weight in other.get_weights()])
    predictors = [Predictor(run), Predictor(other), Predictor([run, other])]
    one, two, mean = (predictor.predict(photo, probabilities=True).probabilities for predictor in predictors)
    np.testing.assert_allclose(mean, (one + two) / 2, rtol=1e-6)
    assert not np.array_equal(one, two)

    assert execute("eval", [f"--workdir={run},{run}", f"--eval_logdir={tmp_path}/E"]) == 0  # on the data of the run
    assert execute("eval", [f"--workdir={run}", f"--eval_logdir={tmp_path}/F"]) == 0
    assert f"the mean of {run}, step 2 and {run}, step 2" in " ".join(capsys.readouterr().out.split())
    mean, single = (read_json(tmp_path / name / "eval_val" / "metrics.json", "metrics") for name in "EF")
    assert mean["miou"] == pytest.approx(single["miou"], abs=1e-4)
    predicted = [f"--workdir={run},{run}", f"--images={photo}", f"--output_dir={tmp_path}/P"]
    assert execute("predict", predicted) == 0
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "P" / "class_ids" / "photo.png")), Predictor(run).predict(photo).mask
    )


def test_the_mean_of_several_runs_is_exported(run, photo, tmp_path, capsys):
    other = Segmenter.from_preset(run)
    other.set_weights([weight * 1.5 for weight in other.get_weights()])
    expected = Predictor([run, other]).predict(photo, probabilities=True)
    images = [photo]
    saved = export_model([run, other], tmp_path / "saved", images=images)
    found = Predictor(saved).predict(photo, probabilities=True)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    size = np.asarray(Image.open(photo)).shape[:2]
    portable = export_model(
        [run, other], tmp_path / "mean.tflite", images=images, export_size=size, min_agreement=0.999
    )
    assert np.mean(Predictor(portable).predict(photo).mask == expected.mask) >= 0.999
    with pytest.raises(UserError, match="`tflite_type='int8'` cannot average networks"):
        export_model([run, run], tmp_path / "8.tflite", images=images, export_size=size, tflite_type="int8")
    with pytest.raises(UserError, match="saved .* is exported already; give the run or model"):
        export_model([run, saved], tmp_path / "again", images=images)

    command = [f"--workdir={run},{run}", f"--export_dir={tmp_path}/X", f"--check_images={photo}"]
    for _ in range(2):
        assert execute("export", command) == 0
    assert f"Kept: {tmp_path}/X, which is complete and belongs to this network" in capsys.readouterr().out
    info = read_json(tmp_path / "X" / "assets.extra" / "model_info.json", "facts")
    assert info["model"]["mean"][0] == info["model"]["mean"][1]
    assert info["source"] == f"{run.name}, step 2 and {run.name}, step 2"
    for flag, said in {
        f"--export_checkpoint={tmp_path}/model.ckpt": "--export_checkpoint needs a single network",
        "--argmax_before_upsampling": "--argmax_before_upsampling has no probabilities to average",
        "--restore_moving_averages": "--restore_moving_averages is for --checkpoint_path",
    }.items():
        assert execute("export", [*command, flag]) == 2
        assert said in capsys.readouterr().err
    small = [f"--export_tflite={tmp_path}/8.tflite", "--tflite_type=int8", f"--export_dir={tmp_path}/Y"]
    assert execute("export", [command[0], *small]) == 2
    assert "--tflite_type=int8 cannot average networks" in capsys.readouterr().err
    assert not (tmp_path / "Y").exists()
    assert execute("export", [f"--workdir={run}", *command[1:]]) == 2
    assert "was exported of another network" in capsys.readouterr().err


def test_several_runs_are_not_evaluated_as_they_train(run, capsys):
    assert execute("eval", [f"--workdir={run},{run}", "--max_number_of_evaluations=2"]) == 2
    assert "only one can be evaluated as it trains" in capsys.readouterr().err


def test_probabilities_are_those_of_the_mask(run, photo):
    prediction = Predictor(run, add_flipped_images=True, eval_scales=(0.5, 1.0)).predict(photo, probabilities=True)
    np.testing.assert_array_equal(prediction.probabilities.argmax(axis=-1), prediction.mask)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=-1), 1, rtol=1e-5)
    plain = prediction.overlay(legend=False)
    assert (plain.shape, plain.dtype) == ((*prediction.mask.shape, 3), "uint8")


def test_segmenter_of_a_run_predicts_as_the_run_and_from_its_file(run, photo, tmp_path):
    expected = Predictor(run).predict(photo).mask
    model = Segmenter.from_preset(run)
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        predictor = Predictor(source)
        np.testing.assert_array_equal(predictor.predict(photo).mask, expected)
        assert predictor.class_names == Predictor(run).class_names
    assert Segmenter.from_preset(tmp_path / "model.keras").class_names == model.class_names


def test_evaluation_is_the_one_of_the_command(run, dataset, tmp_path, capsys):
    assert execute("eval", [f"--workdir={run}", f"--eval_logdir={tmp_path}", "--worst_images=0"]) == 0
    written = read_json(tmp_path / "eval_val" / "metrics.json", "metrics")
    assert written["advice"]
    capsys.readouterr()
    found = evaluate(run, dataset)
    assert {**found, "seconds": 0, "source": ""} == {**written, "seconds": 0, "source": ""}
    assert found["step"] == 2
    assert capsys.readouterr().out == ""
    assert evaluate(Segmenter.from_preset(run), dataset.path)["miou"] == found["miou"]


@pytest.mark.parametrize("name", ["model.tflite", "saved_model"])
def test_export_predicts_as_the_run(name, run, dataset, photo, tmp_path):
    path = export_model(run, tmp_path / name, images=dataset)
    predictor = Predictor(path)
    assert (predictor.predict(photo).mask != Predictor(run).predict(photo).mask).mean() < 0.001
    assert predictor.class_names == dataset.info.class_names
    with pytest.raises(UserError, match=r"`path=.*` exists already"):
        export_model(run, path, images=None)
    with pytest.raises(UserError, match="is exported already; give the run"):
        export_model(path, tmp_path / "again", images=None)
    with pytest.raises(UserError, match="`add_flipped_images` does not go with an exported model"):
        Predictor(path, add_flipped_images=True)


def test_options_and_images_of_an_export_are_checked_whatever_its_format(run, photo, tmp_path):
    for name in ("model.tflite", "saved_model"):
        with pytest.raises(UserError, match="`sliding_window` is not part of an exported model"):
            export_model(run, tmp_path / name, images=None, export_size=(49, 65), sliding_window=(33, 33))
    with pytest.raises(UserError, match=r"Image 0 of `images` is .* pixels, larger than `eval_crop_size=\(17, 17\)`"):
        export_model(run, tmp_path / "saved_model", images=[photo], eval_crop_size=(17, 17))
    pixels = np.asarray(Image.open(photo).convert("RGB"))
    batch = np.stack([pixels, pixels[::-1]])
    size = pixels.shape[:2]
    export_model(
        run, tmp_path / "int8.tflite", images=iter(batch), export_size=size, tflite_type="int8", min_agreement=0
    )
    export_model(run, tmp_path / "batch", images=batch)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "int8.tflite"]


def test_export_that_is_too_far_from_the_network_is_not_left(run, dataset, tmp_path, monkeypatch):
    from deeplab_dpc.api import verified_export

    class Other:
        def predict_batch(self, images):
            return np.full(images.shape[:3], 1000)

    monkeypatch.setattr(verified_export, "load_exported_model", lambda path: Other())
    with pytest.raises(
        UserError, match="disagrees too much with the Keras model: .* and `min_agreement` is 1; nothing was"
    ):
        export_model(run, tmp_path / "saved_model", images=dataset)
    assert list(tmp_path.iterdir()) == []


def _text(path):
    path.write_text("no model")
    return path


class _Counter(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses, self.ended = [], 0

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_train_end(self, logs=None):
        self.ended += 1


class _Epochs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("end", epoch, sorted(name for name in logs if name in ("loss", "val_miou"))))


def test_training_calls_the_callbacks_and_goes_on(run, dataset, tmp_path):
    network = Segmenter.from_preset(run).config.to_json()
    del network["num_classes"]
    protocol = {"train_batch_size": 2, "train_crop_size": (33, 33), "eval_interval_steps": 0}
    counter, epochs = _Counter(), _Epochs()
    model = train(
        tmp_path / "R", dataset, callbacks=[counter, epochs], training_number_of_steps=2, seed=3, **protocol, **network
    )
    assert epochs.calls == [("begin", 0), ("end", 0, ["loss"])]  # without evaluations a training is one epoch
    assert (len(counter.losses), counter.ended) == (2, 1)
    same = Segmenter.from_preset(tmp_path / "R")
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), same.get_weights(), strict=True))
    assert model.class_names == dataset.info.class_names
    train(tmp_path / "R", dataset, callbacks=[counter], training_number_of_steps=2, seed=3, **protocol, **network)
    assert len(counter.losses) == 2  # it is trained
    with pytest.raises(UserError, match="with another configuration: train.seed .was 3, now 4.; give the same arg"):
        train(tmp_path / "R", dataset, training_number_of_steps=2, seed=4, **protocol, **network)


def test_an_epoch_of_the_callbacks_ends_with_each_evaluation(run, dataset, tmp_path, capsys):
    network = Segmenter.from_preset(run).config.to_json()
    del network["num_classes"]
    options = {"train_batch_size": 2, "train_crop_size": (33, 33), "training_number_of_steps": 3, **network}
    epochs = _Epochs()
    # No mIOU is better by 1, so that the second evaluation ends the training.
    stop = keras.callbacks.EarlyStopping(monitor="val_miou", mode="max", min_delta=1.0)
    train(tmp_path / "R", dataset, callbacks=[epochs, stop], eval_interval_steps=1, **options)
    values = ["loss", "val_miou"]
    assert epochs.calls == [("begin", 0), ("end", 0, values), ("begin", 1), ("end", 1, values)]
    assert "A callback stopped the training at step 2, which is saved." in capsys.readouterr().out
    train(tmp_path / "R", dataset, callbacks=[epochs], eval_interval_steps=1, **options)
    assert epochs.calls[4:] == [("begin", 2), ("end", 2, values)]
    assert "from step 2" in capsys.readouterr().out


def test_training_is_the_one_of_the_command(run, dataset, tmp_path):
    config = Segmenter.from_preset(run).config
    write_json(tmp_path / "tiny.json", config.genotype.to_json())
    network = ["--model_variant=auto_deeplab", f"--genotype_json={tmp_path}/tiny.json"]
    head = ["--nas_stem_output_num_conv_filters=2", "--dense_prediction_cell_json=conv1x1"]
    protocol = ["--training_number_of_steps=2", "--train_batch_size=2", "--train_crop_size=33,33"]
    place = [f"--data_dir={dataset.path}", f"--workdir={tmp_path}/R"]
    assert execute("train", [*place, *network, *head, *protocol]) == 0
    weights = [Segmenter.from_preset(one).get_weights() for one in (run, tmp_path / "R")]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda folder: Predictor(folder / "nix"), "`source='.*nix'` is neither a run directory, a .keras file, an"),
        (lambda folder: Predictor(folder / "DATA"), "config.json"),
        (lambda folder: Predictor(folder / "nix.keras"), "`source='.*nix.keras'` does not exist"),
        (lambda folder: Predictor(folder / "RUN", checkpoint=7), "no checkpoint for `checkpoint=7`; it holds step"),
        (lambda folder: Predictor(folder / "RUN", eval_scales=(0,)), "`eval_scales` must be numbers greater than 0"),
        (lambda folder: Predictor(folder / "RUN").predict(folder / "nix.png"), "The image .*nix.png does not exist"),
        (
            lambda folder: Predictor(folder / "RUN").predict(np.zeros((2, 5, 5, 3), "uint8")),
            r"got an array uint8 \(2, 5, 5, 3\); give the images of a batch to `predict_each`",
        ),
        (
            lambda folder: Predictor(folder / "RUN").predict(np.zeros((5, 5, 3))),
            r"`image` must be a file or an array uint8 .*, got an array float64",
        ),
        (
            lambda folder: Predictor(folder / "RUN", eval_crop_size=(17, 17)).predict(folder / "photo.png"),
            r"larger than `eval_crop_size=\(17, 17\)`; leave the argument out",
        ),
        (lambda folder: Predictor(folder / "RUN").predict_each(folder / "nix"), "`images='.*nix'` is not a folder"),
        (lambda folder: Segmenter.from_preset(folder / "nix"), "nor a checkpoint: there is no nix.index"),
        (lambda folder: Segmenter.from_preset(folder / "RUN", num_classes=3), "`num_classes` is for a TensorFlow 1"),
        (
            lambda folder: Segmenter.from_preset(folder / "RUN", atrous_rates=(2, 4)),
            "`atrous_rates` must be 0 rates, as",
        ),
        (
            lambda folder: Segmenter.from_preset(folder / "m.keras", checkpoint=1),
            "`checkpoint=1` is for a run directory",
        ),
        (lambda folder: Predictor(folder / "RUN").predict(folder / "photos"), "is a folder; `predict_each` predicts"),
        (lambda folder: training_dataset(folder / "DATA", crop_size=33), "`crop_size` must be tuple"),
        (lambda folder: training_dataset(folder / "DATA", crop_size=(33, 33), batch_size=0), "`batch_size` must be at"),
        (
            lambda folder: export_model(folder / "RUN", "m", images=None, export_size=(5,)),
            "`export_size` must be .heig",
        ),
        (
            lambda folder: Predictor(_text(folder / "text.keras")),
            "`source='.*text.keras'` is not a Keras file, or is cut",
        ),
        (lambda folder: read_dataset(folder / "photos"), "photos"),
        (lambda folder: read_dataset(None), "`data_dir` must be a path, got None"),
        (lambda folder: Predictor(5), "`source` must be a path, got 5"),
        (lambda folder: search_cells("x", len, num_candidates=2), "`space` must be a SearchSpace, got 'x'"),
        (lambda folder: search_cells(SearchSpace(2), 5, num_candidates=2), "`evaluate` must be a function from a cell"),
        (lambda folder: export_model(folder / "RUN", "m", images=[]), "`images` holds no image to compare"),
        (lambda folder: evaluate(folder / "RUN", read_dataset(folder / "DATA"), split="nix"), "no split 'nix'"),
    ],
)
def test_mistakes_are_sentences_about_arguments(call, message, examples_folder):
    with pytest.raises(UserError, match=message) as caught:
        call(examples_folder)
    assert "--" not in str(caught.value).partition("deeplab-dpc ")[0]
