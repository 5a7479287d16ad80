"""The backbone from Keras' MobileNetV2: the same features, and what is said where it does not fit."""

import keras
import numpy as np
import pytest

from deeplab_dpc.checkpoint import keras_applications
from deeplab_dpc.checkpoint.keras_applications import application_arrays, download_mobilenet_v2
from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.restore import restore_backbone, restore_for_training, restore_model
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter

NARROW = {"depth_multiplier": 0.35, "divisible_by": 8, "output_stride": 32}


def _application(alpha, input_shape=(65, 97, 3)):
    """Keras' network with random weights and random batch norm statistics."""
    keras.utils.set_random_seed(0)
    application = keras.applications.MobileNetV2(weights=None, include_top=False, alpha=alpha, input_shape=input_shape)
    rng = np.random.default_rng(0)
    for layer in application.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(0.5, 1.5, shape), rng.normal(0, 0.1, shape), rng.normal(0, 0.1, shape)]
                + [rng.uniform(0.5, 2, shape)]
            )
    return application


def _model(**changes):
    return build_segmenter(ModelConfig(num_classes=3, **NARROW | changes))


@pytest.fixture(scope="module")
def application():
    return _application(0.35)


@pytest.fixture
def downloaded(application, monkeypatch):
    """Stands for the download; the list of the multipliers that were asked for."""
    asked = []

    def download(depth_multiplier):
        asked.append(depth_multiplier)
        return application

    monkeypatch.setattr(keras_applications, "download_mobilenet_v2", download)
    return asked


def _difference_of_features(application, model, rng):
    """Largest difference of the 320-channel features over their largest value."""
    images = rng.uniform(0, 255, (2, 65, 97, 3)).astype("float32")
    last = keras.Model(application.input, application.get_layer("block_16_project_BN").output)
    theirs = np.asarray(last(keras.applications.mobilenet_v2.preprocess_input(images.copy())))
    ours = np.asarray(model.features(images))
    assert ours.shape == theirs.shape
    assert theirs.std() > 0
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def test_training_from_imagenet_starts_with_the_features_of_keras(application, downloaded, rng):
    model = _model()
    fresh = named_arrays(model)
    report = restore_for_training(model, "imagenet")
    assert downloaded == [0.35]
    assert _difference_of_features(application, model, rng) < 1e-5
    assert len(report.restored) == 51 * 5  # convolutions, each with four vectors of batch norm
    assert {name.split("/")[0] for name in report.restored} == {"MobilenetV2"}
    assert report.unused == ()
    assert "The checkpoint has no context module; the model's starts fresh, with the logits." in str(report)
    np.testing.assert_array_equal(named_arrays(model)["aspp0/weights"], fresh["aspp0/weights"])


def test_multiplier_1_needs_no_rounding(monkeypatch, rng):
    application = _application(1.0)
    monkeypatch.setattr(keras_applications, "download_mobilenet_v2", lambda depth_multiplier: application)
    model = build_segmenter(ModelConfig(num_classes=3, output_stride=32))
    restore_backbone(model, "imagenet")
    assert _difference_of_features(application, model, rng) < 1e-5


def test_arrays_are_those_of_the_backbone(application):
    arrays = application_arrays(application)
    assert arrays["MobilenetV2/Conv/weights"].shape == (3, 3, 3, 16)
    assert arrays["MobilenetV2/expanded_conv_3/depthwise/depthwise_weights"].shape == (3, 3, 48, 1)
    assert arrays["MobilenetV2/expanded_conv_16/project/BatchNorm/moving_variance"].shape == (112,)
    expected = {name for name in named_arrays(_model()) if name.startswith("MobilenetV2/")}
    assert set(arrays) == expected


def test_channels_of_the_published_rule_ask_for_divisible_by(downloaded):
    with pytest.raises(UserError, match=r"it has MobilenetV2/Conv/weights \(3, 3, 3, 16\).*pass --divisible_by=8\."):
        restore_for_training(_model(divisible_by=None), "imagenet")


def test_weights_that_a_kill_left_incomplete_are_downloaded_again(application, tmp_path, monkeypatch):
    """Keras takes any file in its cache for a complete one."""
    partial = tmp_path / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    partial.parent.mkdir()
    partial.write_bytes(b"cut off")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def load(**arguments):
        if partial.exists():
            raise OSError("Unable to synchronously open file (truncated file)")
        return application

    monkeypatch.setattr(keras.applications, "MobileNetV2", load)
    assert download_mobilenet_v2(0.35) is application
    monkeypatch.setattr(
        keras.applications, "MobileNetV2", lambda **arguments: (_ for _ in ()).throw(OSError("no disk"))
    )
    with pytest.raises(UserError, match="needs a network connection to download the weights .no disk.;"):
        download_mobilenet_v2(0.35)


def test_the_word_imagenet_is_never_a_file(downloaded, tmp_path, monkeypatch, write_tf1_checkpoint):
    monkeypatch.chdir(tmp_path)
    stored = {name: np.zeros_like(array) for name, array in named_arrays(_model()).items()}
    write_tf1_checkpoint("imagenet", stored)
    model = _model()
    restore_backbone(model, "imagenet")
    assert named_arrays(model)["MobilenetV2/Conv/weights"].std() > 0
    restore_backbone(model, "./imagenet")
    assert named_arrays(model)["MobilenetV2/Conv/weights"].std() == 0
    assert downloaded == [0.35]


def test_other_backbones_have_no_imagenet_weights(downloaded):
    model = build_segmenter(ModelConfig(num_classes=3, model_variant="mobilenet_v3_small_seg", depth_multiplier=0.35))
    with pytest.raises(UserError, match="does not fit --model_variant=mobilenet_v3_small_seg"):
        restore_for_training(model, "imagenet")
    assert downloaded == []


def test_multiplier_that_keras_does_not_publish_is_named():
    with pytest.raises(UserError, match=r"has --depth_multiplier 0\.35, 0\.5, 0\.75, 1\.0, 1\.3, 1\.4, not 0\.4\."):
        download_mobilenet_v2(0.4)


def test_failed_download_says_what_else_can_be_given(monkeypatch):
    def fail(**arguments):
        assert (arguments["alpha"], arguments["weights"]) == (0.5, "imagenet")
        raise Exception("URL fetch failure on https://weights: None -- [Errno -3] No name\nmore")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    message = "needs a network connection .*URL fetch failure.* No name.*; without one, give the prefix"
    with pytest.raises(UserError, match=message) as error:
        download_mobilenet_v2(0.5)
    assert len(str(error.value).splitlines()) == 1


def test_imagenet_is_no_network_to_evaluate(downloaded):
    with pytest.raises(UserError, match="imagenet is a backbone without logits"):
        restore_model(_model(), "imagenet")
    assert downloaded == []


def test_imagenet_keeps_no_moving_averages(downloaded):
    with pytest.raises(UserError, match="imagenet keeps no moving averages"):
        restore_backbone(_model(), "imagenet", moving_averages=True)
