"""Restoring by name: whole networks, backbones, and what of a checkpoint a training starts from."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.genotype import Block, Edge, Genotype, Separable, Skip
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.operations import AtrousConv
from deeplab_dpc.checkpoint.names import named_arrays, published_name
from deeplab_dpc.checkpoint.restore import restore_backbone, restore_for_training, restore_model
from deeplab_dpc.checkpoint.run import save_checkpoint
from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.checkpoint.tf1 import write_tf1_checkpoint
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run

DECODER = {"decoder_output_stride": (4,), "decoder_filters": 8}
LR_ASPP = {"decoder_output_stride": (8,), "decoder_use_sum_merge": True, "decoder_output_is_logits": True}
LOGITS_FRESH = {"initialize_last_layer": False, "last_layers_contain_logits_only": True}
LOGITS = {"logits/semantic/weights", "logits/semantic/biases"}


def _model(num_classes=3, cell=None, **changes):
    cell = load_cell(cell) if isinstance(cell, str) else cell
    small = {"depth_multiplier": 0.1, "aspp_convs_filters": 8}
    return build_segmenter(ModelConfig(num_classes, dense_prediction_cell=cell, **small | changes))


def _lr_aspp(num_classes=3):
    return _model(num_classes, aspp_convs_filters=num_classes, decoder_filters=num_classes, **LR_ASPP)


def _filled(model):
    """Arrays for every variable, each filled with its index."""
    return {
        name: np.full(array.shape, i, "float32") for i, (name, array) in enumerate(sorted(named_arrays(model).items()))
    }


@pytest.fixture
def stored(tmp_path):
    """Writes arrays as a checkpoint; returns its prefix."""

    def write(arrays):
        write_tf1_checkpoint(tmp_path / "model.ckpt", arrays, step=3)
        return str(tmp_path / "model.ckpt")

    return write


@pytest.fixture(scope="module")
def aspp_arrays():
    return _filled(_model())


@pytest.fixture(scope="module")
def aspp_checkpoint(aspp_arrays, tmp_path_factory):
    """A checkpoint with ASPP and 3 classes."""
    prefix = tmp_path_factory.mktemp("aspp") / "model.ckpt"
    write_tf1_checkpoint(prefix, aspp_arrays | {"aspp0/weights/Momentum": np.zeros(2, "float32")}, step=3)
    return str(prefix)


def _scopes(names):
    return {name.split("/")[0] for name in names}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("segmenter/MobilenetV2/expanded_conv_1/expand/kernel", "MobilenetV2/expanded_conv_1/expand/weights"),
        ("segmenter/aspp/aspp1/aspp1_depthwise/depthwise_kernel", "aspp1_depthwise/depthwise_weights"),
        ("segmenter/aspp/aspp1/kernel", "aspp1/weights"),
        ("segmenter/aspp/image_pooling/BatchNorm/moving_mean", "image_pooling/BatchNorm/moving_mean"),
        ("segmenter/meta_architecture/branch3/kernel", "meta_architecture/branch3/weights"),
        (
            "segmenter/meta_architecture/branch0/branch0_pointwise/BatchNorm/gamma",
            "meta_architecture/branch0_pointwise/BatchNorm/gamma",
        ),
        (
            "segmenter/decoder/decoder_stage0/decoder_conv0.decoder_conv0_1/kernel",
            "decoder/decoder_conv0/decoder_conv0_1/weights",
        ),
        ("segmenter/logits/semantic/bias", "logits/semantic/biases"),
    ],
)
def test_published_names(path, name):
    assert published_name(path) == name


@pytest.mark.parametrize("network", ["aspp", "decoder", "lr_aspp"])
def test_every_variable_is_restored_by_name(network, stored):
    model = {"aspp": _model, "decoder": lambda: _model(**DECODER), "lr_aspp": _lr_aspp}[network]()
    arrays = _filled(model)
    report = restore_model(model, stored(arrays))
    assert (set(report.restored), report.unused) == (set(arrays), ())
    for name, value in named_arrays(model).items():
        np.testing.assert_array_equal(value, arrays[name])


def test_backbone_alone(aspp_checkpoint):
    report = restore_backbone(_model(num_classes=9), aspp_checkpoint)
    assert _scopes(report.restored) == {"MobilenetV2"}
    assert _scopes(report.unused) == {"aspp0", "concat_projection", "image_pooling", "logits"}


def test_moving_averages_are_restored_on_request(aspp_arrays, stored):
    average = aspp_arrays["aspp0/weights"] + 0.5
    path = stored(aspp_arrays | {"aspp0/weights/ExponentialMovingAverage": average})
    model = _model()
    restore_model(model, path)
    np.testing.assert_array_equal(named_arrays(model)["aspp0/weights"], aspp_arrays["aspp0/weights"])
    for restore in (restore_model, restore_for_training):
        model = _model()
        restore(model, path, moving_averages=True)
        after = named_arrays(model)
        np.testing.assert_array_equal(after["aspp0/weights"], average)
        np.testing.assert_array_equal(after["image_pooling/weights"], aspp_arrays["image_pooling/weights"])


def test_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a directory but no run"):
        restore_model(_model(), str(tmp_path))


def test_same_network_is_restored_whole_for_training(aspp_arrays, aspp_checkpoint):
    report = restore_for_training(_model(), aspp_checkpoint)
    assert (set(report.restored), report.initialized, report.reasons) == (set(aspp_arrays), (), ())


def test_another_number_of_classes_drops_the_logits_and_says_so(aspp_arrays, aspp_checkpoint):
    model = _model(num_classes=5)
    fresh = named_arrays(model)
    report = restore_for_training(model, aspp_checkpoint)
    assert report.reasons == ("The logits start fresh: the checkpoint has 3 classes, the model 5.",)
    assert set(report.initialized) == LOGITS
    after = named_arrays(model)
    np.testing.assert_array_equal(after["logits/semantic/weights"], fresh["logits/semantic/weights"])
    np.testing.assert_array_equal(after["aspp0/weights"], aspp_arrays["aspp0/weights"])


def test_last_layer_is_left_out_on_request(aspp_checkpoint):
    report = restore_for_training(_model(), aspp_checkpoint, **LOGITS_FRESH)
    assert set(report.initialized) == LOGITS
    assert report.reasons == ("The logits start fresh, as --initialize_last_layer=false asks.",)


@pytest.mark.parametrize(
    ("changes", "scopes", "parts"),
    [
        ({}, {"image_pooling", "aspp0", "concat_projection", "logits"}, "module and the logits"),
        (
            DECODER,
            {"image_pooling", "aspp0", "concat_projection", "decoder", "logits"},
            "module, the decoder and the logits",
        ),
        ({"cell": "conv1x1"}, {"meta_architecture", "logits"}, "module and the logits"),
    ],
)
def test_last_layers_are_context_module_and_decoder_too(changes, scopes, parts, stored):
    model = _model(**changes)
    fresh = named_arrays(model)
    arrays = _filled(model)
    report = restore_for_training(model, stored(arrays), initialize_last_layer=False)
    assert _scopes(report.restored) == {"MobilenetV2"}
    assert _scopes(report.initialized) == scopes
    assert report.reasons == (
        f"The context {parts} start fresh, as --initialize_last_layer=false asks (--last_layers_contain_logits_only "
        "for only the logits).",
    )
    for name, value in named_arrays(model).items():
        np.testing.assert_array_equal(value, (arrays if name in report.restored else fresh)[name], err_msg=name)


def test_cell_starts_fresh_on_the_backbone_of_an_aspp_checkpoint(aspp_arrays, aspp_checkpoint):
    model = _model(cell="conv1x1")
    fresh = named_arrays(model)
    report = restore_for_training(model, aspp_checkpoint)
    assert report.reasons == (
        "The context module is another one than the checkpoint's and starts fresh, with the logits.",
    )
    after = named_arrays(model)
    restored = {name for name in after if name.startswith("MobilenetV2/")}
    assert set(report.restored) == restored
    assert {name for name in after if np.array_equal(after[name], fresh[name])} >= set(after) - restored
    np.testing.assert_array_equal(after["MobilenetV2/Conv/weights"], aspp_arrays["MobilenetV2/Conv/weights"])


def test_another_aspp_starts_fresh_and_names_the_flag_that_would_restore_it(stored):
    path = stored(_filled(_model(atrous_rates=(6, 12), aspp_with_separable_conv=False)))
    report = restore_for_training(_model(), path)
    assert _scopes(report.restored) == {"MobilenetV2"}
    assert "(to restore it, it has 2 atrous branches: pass --atrous_rates with 2 rates; pass --aspp_with" in str(report)


def test_checkpoint_without_a_part_of_aspp_is_an_error(aspp_arrays, stored):
    arrays = {name: array for name, array in aspp_arrays.items() if name != "aspp0/weights"}
    with pytest.raises(UserError, match="it has no aspp0/weights"):
        restore_for_training(_model(), stored(arrays))


@pytest.mark.parametrize(
    ("theirs", "ours", "restored", "reason"),
    [
        (DECODER, DECODER, {"MobilenetV2", "aspp", "decoder", "logits"}, None),
        (DECODER, {**DECODER, "decoder_filters": 4}, {"MobilenetV2", "aspp"}, "The decoder is another one than"),
        (DECODER, {}, {"MobilenetV2", "aspp"}, "The checkpoint's decoder is left out, and the logits start fresh."),
        ({}, DECODER, {"MobilenetV2", "aspp"}, "The checkpoint has no decoder; the model's starts fresh, with the"),
        (
            {**DECODER, "decoder_output_stride": (8, 4)},
            {**DECODER, "decoder_output_stride": (8,)},
            {"MobilenetV2", "aspp"},
            "The decoder is another one than the checkpoint's",
        ),
    ],
)
def test_decoder_is_restored_where_it_is_the_checkpoints(theirs, ours, restored, reason, stored):
    report = restore_for_training(_model(**ours), stored(_filled(_model(**theirs))))
    scopes = {"aspp" if scope in ("image_pooling", "aspp0", "concat_projection") else scope
              for scope in _scopes(report.restored)}  # fmt: skip
    assert scopes == restored
    if reason is None:
        assert report.reasons == ()
    else:
        assert len(report.reasons) == 1
        assert report.reasons[0].startswith(reason)


def test_decoder_of_a_fresh_context_module_is_restored_but_not_its_logits(stored):
    same = {"decoder_output_stride": (4,), "decoder_filters": 8, "aspp_convs_filters": 256}
    report = restore_for_training(_model(cell="conv1x1", **same), stored(_filled(_model(**same))))
    assert _scopes(report.restored) == {"MobilenetV2", "decoder"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, None),
        (LOGITS_FRESH, "The logits start fresh, as --initialize_last_layer=false asks."),
    ],
)
def test_decoder_whose_output_is_the_logits_is_treated_as_logits(arguments, reason, stored):
    report = restore_for_training(_lr_aspp(), stored(_filled(_lr_aspp())), **arguments)
    assert report.reasons == (() if reason is None else (reason,))
    assert ("decoder" in _scopes(report.restored)) == (reason is None)
    assert "aspp0" in _scopes(report.restored)


def test_decoder_that_is_the_logits_starts_fresh_for_other_classes(stored):
    same = {**LR_ASPP, "aspp_convs_filters": 8, "aspp_with_concat_projection": True}
    theirs = _filled(_model(num_classes=3, decoder_filters=3, **same))
    report = restore_for_training(_model(num_classes=5, decoder_filters=5, **same), stored(theirs))
    assert report.reasons == ("The logits start fresh: the checkpoint has 3 classes, the model 5.",)
    assert _scopes(report.initialized) == {"decoder"}


def test_classification_checkpoint_gives_the_backbone(aspp_arrays, stored):
    backbone = {name: array for name, array in aspp_arrays.items() if name.startswith("MobilenetV2/")}
    classifier = {
        "MobilenetV2/Conv_1/weights": np.zeros((1, 1, 32, 8), "float32"),
        "MobilenetV2/Logits/Conv2d_1c_1x1/weights": np.zeros((1, 1, 8, 5), "float32"),
    }
    report = restore_for_training(_model(), stored(backbone | classifier))
    assert set(report.restored) == set(backbone)
    assert report.unused == tuple(sorted(classifier))
    assert report.reasons == ("The checkpoint has no context module; the model's starts fresh, with the logits.",)


def test_classification_layers_do_not_stop_an_evaluation(aspp_arrays, stored):
    path = stored(aspp_arrays | {"MobilenetV2/Conv_1/weights": np.zeros((1, 1, 32, 8), "float32")})
    report = restore_model(_model(), path)
    assert (set(report.restored), report.unused) == (set(aspp_arrays), ("MobilenetV2/Conv_1/weights",))


def _atrous(*rates, reads=BACKBONE):
    """A cell of atrous convolutions, the last of which reads what is given; its shapes depend on their number alone."""
    inputs = [*[BACKBONE] * (len(rates) - 1), reads]
    return Cell(tuple(Branch(source, AtrousConv(rate)) for source, rate in zip(inputs, rates, strict=True)))


@pytest.fixture
def as_run(tmp_path):
    """Writes a network as a run of one checkpoint; returns its directory."""

    def write(model):
        open_run(tmp_path / "run", {"model": model.config})
        optimizer = keras.optimizers.SGD()
        optimizer.build(model.trainable_variables)
        save_checkpoint(tmp_path / "run", model, optimizer, Progress(1))
        return str(tmp_path / "run")

    return write


SAME_SHAPES = {
    "rates": (_atrous((1, 1), (6, 6)), _atrous((1, 1), (6, 3))),
    "inputs": (_atrous((1, 1), (6, 6), (9, 9), reads=0), _atrous((1, 1), (6, 6), (9, 9), reads=1)),
}


@pytest.mark.parametrize(("stored_cell", "ours"), SAME_SHAPES.values(), ids=SAME_SHAPES)
@pytest.mark.parametrize("source", ["run", "checkpoint that says its cell", "checkpoint that does not"])
def test_cell_of_equal_shapes_that_is_another_one_starts_fresh_and_that_is_said(
    source, stored_cell, ours, as_run, stored
):
    theirs = _model(cell=stored_cell)
    path = as_run(theirs) if source == "run" else stored(_filled(theirs))
    if source == "checkpoint that says its cell":
        write_json(f"{path}.cell.json", theirs.config.dense_prediction_cell.to_json())
    report = restore_for_training(_model(cell=ours), path)
    assert _scopes(report.restored) == {"MobilenetV2"}
    assert _scopes(report.initialized) == {"meta_architecture", "logits"}
    [reason] = report.reasons
    expected = "need not be its cell" if source.endswith("not") else f"is another cell than its {stored_cell.summary()}"
    assert expected in reason
    assert reason.endswith("it starts fresh, with the logits.")


@pytest.mark.parametrize("source", ["run", "checkpoint that says its cell"])
def test_the_same_cell_is_restored(source, as_run, stored):
    model = _model(cell=_atrous((1, 1), (6, 6)))
    path = as_run(model) if source == "run" else stored(_filled(model))
    if source != "run":
        write_json(f"{path}.cell.json", model.config.dense_prediction_cell.to_json())
    assert restore_for_training(model, path).initialized == ()


def test_published_checkpoint_has_the_published_cell(stored):
    model = _model(cell="dpc_top1")
    assert restore_for_training(model, stored(_filled(model))).initialized == ()


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        ({"atrous_rates": (12, 24), "output_stride": 8}, None),
        ({"atrous_rates": (6, 18)}, "not its rates (--atrous_rates=6,12 at --output_stride=16)"),
        ({"atrous_rates": (6, 12), "output_stride": 8}, "not its rates (--atrous_rates=6,12 at --output_stride=16)"),
    ],
)
def test_aspp_of_a_run_is_the_same_where_its_rates_are_in_pixels(ours, reason, as_run):
    report = restore_for_training(_model(**ours), as_run(_model(atrous_rates=(6, 12))))
    if reason is None:
        assert (report.initialized, report.reasons) == ((), ())
    else:
        assert _scopes(report.restored) == {"MobilenetV2"}
        assert reason in report.reasons[0]


def test_auto_deeplab_of_another_genotype_with_equal_shapes_is_refused(as_run):
    theirs = tiny_network(num_classes=3)
    path = as_run(build_segmenter(theirs))
    swapped = Genotype((Block(Edge(1, Separable(3)), Edge(0, Skip())),), (1, 2))
    model = build_segmenter(dataclasses.replace(theirs, genotype=swapped))
    arrays = {name: array.shape for name, array in named_arrays(model).items()}
    assert arrays == {name: array.shape for name, array in named_arrays(build_segmenter(theirs)).items()}
    for restore in (restore_for_training, restore_backbone):
        with pytest.raises(UserError, match="is of another genotype; pass that one with --genotype_json="):
            restore(model, path)


def test_decoder_of_another_stride_starts_fresh_though_its_shapes_are_equal(as_run):
    same = {"decoder_filters": 8, "depth_multiplier": 0.1}
    path = as_run(_model(decoder_output_stride=(4,), **same))
    report = restore_for_training(_model(decoder_output_stride=(8,), **same), path)
    assert "decoder" not in _scopes(report.restored)
    assert "decoder" in report.reasons[0]
