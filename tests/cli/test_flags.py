"""The flags of commands as values, and the configurations made from them."""

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator

import pytest

from deeplab_dpc import config as configs
from deeplab_dpc.cli.config_flags import attribute_docs
from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, FlagGroup
from deeplab_dpc.cli.flags.train import Flags
from deeplab_dpc.cli.main import COMMANDS, defined_flags, flag_module, parse
from deeplab_dpc.errors import UserError


def _flags(*argv: str) -> Flags:
    return parse("train", list(argv))


def test_data_dir_is_kept_absolute_so_that_a_run_can_be_evaluated_from_anywhere(shapes, monkeypatch):
    monkeypatch.chdir(shapes.path.parent)
    config = _flags(f"--data_dir={shapes.path.name}").data.config(shapes, 16)
    assert config.data_dir == str(shapes.path)


@pytest.mark.parametrize(("output_stride", "crop"), [(16, (65, 81)), (32, (65, 97))])
def test_crop_defaults_to_the_largest_image_aligned(shapes, output_stride, crop):
    config = _flags(f"--data_dir={shapes.path}").data.config(shapes, output_stride)
    assert config.train_crop_size == crop


@pytest.mark.parametrize("argv", [["--atrous_rates=6,12"], ["--atrous_rates=6", "--atrous_rates=12"]])
def test_lists_are_comma_separated_or_repeated(argv):
    assert _flags(*argv).network.config(num_classes=2).atrous_rates == (6, 12)


def test_an_empty_list_is_none_where_none_is_the_default():
    assert _flags("--atrous_rates=").network.config(7).atrous_rates == ()


def test_cell_is_named_or_a_file():
    config = _flags("--dense_prediction_cell_json=psp").network.config(num_classes=2)
    assert config.dense_prediction_cell is not None
    with pytest.raises(UserError, match="'nowhere.json' is neither a cell file nor a cell that ships"):
        _flags("--dense_prediction_cell_json=nowhere.json").network.config(num_classes=2)


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
    config = _flags(*(item.format(path=path) for item in argv)).network.config(num_classes=2)
    assert (config.model_variant, config.output_stride, config.alignment) == (variant, stride, alignment)


@pytest.mark.parametrize("variant", ["xception_41", "mobilenet_v2"])
def test_genotype_of_another_backbone_is_an_error(variant):
    flags = _flags("--genotype_json=auto_deeplab", f"--model_variant={variant}")
    with pytest.raises(UserError, match=f"not for --model_variant={variant}: leave one of them out, or choose one of"):
        flags.network.config(num_classes=2)


def test_flagfile_is_read(tmp_path):
    (tmp_path / "a.flags").write_text("# a comment\n--training_number_of_steps=7\n")
    assert _flags(f"--flagfile={tmp_path / 'a.flags'}").training["training_number_of_steps"] == 7


@pytest.mark.parametrize("text", ["33", "33,0", "1,2,3"])
def test_crop_needs_two_sides(shapes, text):
    with pytest.raises(UserError, match="--train_crop_size must be HEIGHT,WIDTH in pixels"):
        _flags(f"--data_dir={shapes.path}", f"--train_crop_size={text}").data.config(shapes, 16)


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
    assert attribute_docs(docstring) == {"first": both, "second": both, "third": third}


def test_a_class_without_docstring_has_no_meanings():
    assert attribute_docs(None) == {}


CONFIGS = [item for item in vars(configs).values() if dataclasses.is_dataclass(item)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_field_that_becomes_a_flag_has_a_meaning(config):
    assert set(attribute_docs(config.__doc__)) == {field.name for field in dataclasses.fields(config)}


def _fields(group: FlagGroup) -> Iterator[str]:
    """The flags whose values a group holds; those of a configuration by its fields that are flags."""
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if isinstance(value, FlagGroup):
            yield from _fields(value)
        elif isinstance(value, ConfigFields):
            yield from value.values
        elif field.name != "given":
            yield "list" if field.name == "pair_list" else field.name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_of_a_command_is_read_into_its_frozen_value(command):
    read = parse(command, [])
    assert isinstance(read, flag_module(command).Flags)
    assert isinstance(read, CommandFlags)
    assert dict(read.given) == {}
    defined = defined_flags(command)
    own = {name for name in defined if name == defined[name].name} - {"help", "helpfull", "version", "backend"}
    assert set(_fields(read)) == own - {"inference_scales"}  # another name of eval_scales
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.given = {}


def test_what_is_given_is_kept_with_the_arguments_that_give_it_again():
    read = _flags("--atrous_rates=6", "--atrous_rates=12", "--nofine_tune_batch_norm", "--workdir=a b", "--task=0")
    assert {name: list(one.arguments) for name, one in read.given.items()} == {
        "atrous_rates": ["--atrous_rates=6", "--atrous_rates=12"],
        "fine_tune_batch_norm": ["--nofine_tune_batch_norm"],
        "task": ["--task=0"],
        "workdir": ["--workdir=a b"],
    }
    assert read.network.fields.given == {"atrous_rates"}
    again = parse("train", [argument for one in read.given.values() for argument in one.arguments])
    assert again == read


def test_defaults_do_not_replace_what_is_given():
    network = _flags("--model_variant=xception_65").network
    changed = network.with_defaults({"model_variant": "mobilenet_v2", "depth_multiplier": 0.5})
    assert (changed.fields["model_variant"], changed.fields["depth_multiplier"]) == ("xception_65", 0.5)
    assert network.fields["depth_multiplier"] == 1.0


def test_another_name_of_a_flag_gives_the_flag():
    read = parse("export", ["--inference_scales=0.5,1"])
    assert read.inference["eval_scales"] == (0.5, 1.0)
    assert read.inference.given == {"eval_scales"}
    assert {name: one.arguments for name, one in read.given.items()} == {"eval_scales": ("--eval_scales=0.5,1",)}


@pytest.mark.parametrize("command", COMMANDS)
def test_meanings_name_other_flags_with_dashes(command):
    values = defined_flags(command)
    names = "|".join(name for name in values if "_" in name and name != "output_stride")
    bare = [name for name in values if re.search(rf"(?<![\w-])(?:{names})\b", values[name].help or "")]
    assert bare == []
