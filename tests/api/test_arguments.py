"""Messages that name flags, as those who call a function read them."""

import dataclasses

import pytest

from deeplab_dpc.api.arguments import in_python, naming_arguments
from deeplab_dpc.config import DataConfig, InferenceConfig, ModelConfig, SearchConfig, TrainConfig
from deeplab_dpc.data.catalog import NoDatasetError
from deeplab_dpc.errors import UserError

CONFIGS = (DataConfig, InferenceConfig, ModelConfig, SearchConfig, TrainConfig)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--lookahead must be greater than 0, got 0.", "`lookahead` must be greater than 0, got 0."),
        (
            "a.png is larger than --eval_crop_size=65,65; leave the flag out.",
            "a.png is larger than `eval_crop_size=(65, 65)`; leave the argument out.",
        ),
        (
            "--train_crop_size must be HEIGHT,WIDTH in pixels.",
            "`train_crop_size` must be HEIGHT,WIDTH in pixels.",
        ),
        ("Give --export_size=HEIGHT,WIDTH.", "Give `export_size=(HEIGHT, WIDTH)`."),
        ("--model_variant=nix is not known.", "`model_variant='nix'` is not known."),
        ("--storage=sqlite:///a.db is SQLite, so no.", "`storage='sqlite:///a.db'` is SQLite, so no."),
        ("Give --label_map='255:1,*:same'.", "Give `label_map='255:1,*:same'`."),
        ("--noupsample_logits does not go.", "`upsample_logits=False` does not go."),
        ("--workdir=T/run.1 is not a run.", "`source='T/run.1'` is not a run."),
        (
            "T has no checkpoint; train it first (deeplab-dpc train --workdir=T ...).",
            "T has no checkpoint; train it first (deeplab-dpc train --workdir=T ...).",
        ),
        (
            "There is none; build one with deeplab-dpc build-folder --images=A --data_dir=D/E, or --name it.",
            "There is none; build one with deeplab-dpc build-folder --images=A --data_dir=D/E, or `name` it.",
        ),
        ("ModelConfig.multi_grid must be a tuple.", "`multi_grid` must be a tuple."),
        ("The same command continues.", "The same call continues."),
        ("Nothing here names one.", "Nothing here names one."),
    ],
)
def test_flags_become_arguments(message, expected):
    assert in_python(message, {"workdir": "source"}) == expected
    assert in_python(in_python(message)) == in_python(message)


def test_error_keeps_its_class_and_its_place():
    @naming_arguments(data_dir="dataset")
    def fail():
        raise NoDatasetError("--data_dir=D holds none.")

    with pytest.raises(NoDatasetError, match="^`dataset='D'` holds none.$") as caught:
        fail()
    assert caught.traceback[-1].name == "fail"


def test_other_errors_are_left_alone():
    with pytest.raises(KeyError, match="--name"), naming_arguments():
        raise KeyError("--name")
    with pytest.raises(UserError, match="`name`"), naming_arguments():
        raise UserError("--name")


def test_no_flag_begins_with_no():
    names = {field.name for config in CONFIGS for field in dataclasses.fields(config)}
    assert [name for name in names if name.startswith("no")] == []
