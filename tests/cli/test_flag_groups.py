"""Configurations made from flags."""

import dataclasses
import inspect
import json

import pytest
from absl import flags

from deeplab_dpc import config as configs
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flags import train
from deeplab_dpc.cli.main import parse
from deeplab_dpc.errors import UserError


def _values(*argv) -> flags.FlagValues:
    return parse(train, "train", list(argv))


def test_data_dir_is_kept_absolute_so_that_a_run_can_be_evaluated_from_anywhere(shapes, monkeypatch):
    monkeypatch.chdir(shapes.path.parent)
    config = flag_groups.data_config(_values(f"--data_dir={shapes.path.name}"), shapes, alignment=16)
    assert config.data_dir == str(shapes.path)


@pytest.mark.parametrize(("output_stride", "crop"), [(16, (65, 81)), (32, (65, 97))])
def test_crop_defaults_to_the_largest_image_aligned(shapes, output_stride, crop):
    config = flag_groups.data_config(_values(f"--data_dir={shapes.path}"), shapes, output_stride)
    assert config.train_crop_size == crop


@pytest.mark.parametrize("argv", [["--atrous_rates=6,12"], ["--atrous_rates=6", "--atrous_rates=12"]])
def test_lists_are_comma_separated_or_repeated(argv):
    assert flag_groups.model_config(_values(*argv), num_classes=2).atrous_rates == (6, 12)


def test_an_empty_list_is_none_where_none_is_the_default():
    values = _values("--atrous_rates=")
    assert flag_groups.model_config(values, 7).atrous_rates == ()


def test_cell_is_named_or_a_file():
    config = flag_groups.model_config(_values("--dense_prediction_cell_json=psp"), num_classes=2)
    assert config.dense_prediction_cell is not None
    with pytest.raises(UserError, match="'nowhere.json' is neither a cell file nor a cell that ships"):
        flag_groups.model_config(_values("--dense_prediction_cell_json=nowhere.json"), num_classes=2)


SHORT = {"blocks": [{side: {"state": 0, "operator": "skip"} for side in ("left", "right")}], "path": [0, 1, 0]}


@pytest.mark.parametrize(
    ("argv", "variant", "stride", "alignment"),
    [
        (["--genotype_json={path}"], "auto_deeplab", 4, 8),
        (["--genotype_json={path}", "--model_variant=auto_deeplab_m"], "auto_deeplab_m", 4, 8),
        (["--genotype_json=auto_deeplab", "--output_stride=8"], "auto_deeplab", 8, 32),
        (["--model_variant=nas_hnasnet"], "nas_hnasnet", 8, 32),
        (["--genotype_json={path}", "--output_stride=16"], "auto_deeplab", 16, 8),  # the backbone says what is wrong
    ],
)
def test_genotype_sets_what_was_not_given(tmp_path, argv, variant, stride, alignment):
    path = tmp_path / "short.json"
    path.write_text(json.dumps(SHORT))
    config = flag_groups.model_config(_values(*(item.format(path=path) for item in argv)), num_classes=2)
    assert (config.model_variant, config.output_stride, config.alignment) == (variant, stride, alignment)


@pytest.mark.parametrize("variant", ["xception_41", "mobilenet_v2"])
def test_genotype_of_another_backbone_is_an_error(variant):
    values = _values("--genotype_json=auto_deeplab", f"--model_variant={variant}")
    with pytest.raises(UserError, match=f"not for --model_variant={variant}: leave one of them out, or choose one of"):
        flag_groups.model_config(values, num_classes=2)


def test_flagfile_is_read(tmp_path):
    (tmp_path / "a.flags").write_text("# a comment\n--training_number_of_steps=7\n")
    assert _values(f"--flagfile={tmp_path / 'a.flags'}").training_number_of_steps == 7


@pytest.mark.parametrize("text", ["33", "33,0", "1,2,3"])
def test_crop_needs_two_sides(shapes, text):
    with pytest.raises(UserError, match="--train_crop_size must be HEIGHT,WIDTH in pixels"):
        flag_groups.data_config(_values(f"--data_dir={shapes.path}", f"--train_crop_size={text}"), shapes, 16)


DOCSTRING = """A class.

    It has attributes.

    Attributes:
      first, second: of both: this text, which goes on
        in the next line.
      third: another one.

        A paragraph of it.

    Example:
      fourth: no attribute.
    """


@pytest.mark.parametrize("docstring", [DOCSTRING, inspect.cleandoc(DOCSTRING)], ids=["indented", "as from Python 3.13"])
def test_meanings_of_flags_are_read_from_docstrings_of_any_python(docstring):
    both = "of both: this text, which goes on in the next line."
    third = "another one. A paragraph of it."
    assert flag_groups.attribute_docs(docstring) == {"first": both, "second": both, "third": third}


def test_a_class_without_docstring_has_no_meanings():
    assert flag_groups.attribute_docs(None) == {}


CONFIGS = [item for item in vars(configs).values() if dataclasses.is_dataclass(item)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_field_that_becomes_a_flag_has_a_meaning(config):
    assert set(flag_groups.attribute_docs(config.__doc__)) == {field.name for field in dataclasses.fields(config)}
