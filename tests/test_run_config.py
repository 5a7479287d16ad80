"""The claim of a run directory for a configuration."""

import json

import pytest

from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.run_config import CONFIG_FILE, config_differences, open_run, read_run, read_section, require_kind


def test_run_of_the_same_configuration_continues_and_of_another_is_refused_with_the_difference(tmp_path):
    sections = {"model": ModelConfig(num_classes=3), "features": "abc"}
    open_run(tmp_path, sections)
    open_run(tmp_path, sections)
    with pytest.raises(UserError, match=r"model\.num_classes \(was 3, now 4\); give the same flags"):
        open_run(tmp_path, sections | {"model": ModelConfig(num_classes=4)})
    with pytest.raises(UserError, match=r"features\. \(was abc, now abd\); .*, or another --workdir\.$"):
        open_run(tmp_path, sections | {"features": "abd"})


def test_refused_training_may_be_forked(tmp_path):
    open_run(tmp_path, {"train": TrainConfig()})
    with pytest.raises(UserError, match=f"or another --workdir, or --fork_from={tmp_path} with a new --workdir to"):
        open_run(tmp_path, {"train": TrainConfig(seed=1)})


def test_differences_of_configurations_are_told_by_field(tmp_path):
    open_run(tmp_path, {"model": ModelConfig(num_classes=3), "train": TrainConfig()})
    changed = {"model": ModelConfig(num_classes=3), "train": TrainConfig(seed=1, base_learning_rate=0.001)}
    assert config_differences(read_run(tmp_path), changed) == {
        "train.base_learning_rate": "train.base_learning_rate (was 0.01, now 0.001)",
        "train.seed": "train.seed (was 0, now 1)",
    }


def test_directory_that_is_no_run_is_named_with_its_flag(tmp_path):
    with pytest.raises(UserError, match=f"--workdir={tmp_path} is not a run directory: it has no config.json"):
        read_run(tmp_path)
    with pytest.raises(UserError, match=f"--fork_from={tmp_path} is not a run directory"):
        read_run(tmp_path, "fork_from")


def test_extendable_field_is_updated(tmp_path):
    open_run(tmp_path, {"train": TrainConfig(training_number_of_steps=5)})
    open_run(tmp_path, {"train": TrainConfig(training_number_of_steps=7)}, ["train.training_number_of_steps"])
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["train"]["training_number_of_steps"] == 7


def test_run_that_is_older_than_an_option_continues_while_the_option_has_its_default(tmp_path):
    old = ModelConfig(num_classes=3).to_json()
    del old["decoder_output_stride"], old["multi_grid"]
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model": old}))
    open_run(tmp_path, {"model": ModelConfig(num_classes=3)})
    with pytest.raises(UserError, match=r"model\.decoder_output_stride \(was \[\], now \[4\]\)"):
        open_run(tmp_path, {"model": ModelConfig(num_classes=3, decoder_output_stride=(4,))})


def test_damaged_configuration_is_named_with_its_file(tmp_path):
    (tmp_path / CONFIG_FILE).write_text('{"model": {"num_classes": "three"}}')
    sentence = (
        r"The run configuration .*config\.json cannot be used: ModelConfig\.num_classes must be int, got 'three'\.$"
    )
    with pytest.raises(UserError, match=sentence):
        read_section(tmp_path, "model", ModelConfig)
    with pytest.raises(UserError, match=sentence):
        open_run(tmp_path, {"model": ModelConfig(num_classes=3)})
    with pytest.raises(UserError, match=r"config\.json has no section 'train'; --workdir needs another kind of run"):
        read_section(tmp_path, "train", TrainConfig)
    (tmp_path / CONFIG_FILE).write_text("[1]")
    with pytest.raises(UserError, match=r"config\.json is damaged: it must be an object, got \[1\]"):
        read_run(tmp_path)


def test_a_run_of_another_kind_is_named_and_left_alone(tmp_path):
    require_kind(tmp_path, "search")  # free
    open_run(tmp_path, {"train": TrainConfig()})
    require_kind(tmp_path, "train")
    message = f"{tmp_path} holds a run of train, not a search of cells; give another --workdir"
    with pytest.raises(UserError, match=message):
        require_kind(tmp_path, "search")
    with pytest.raises(UserError, match=message):
        open_run(tmp_path, {"search": {"num_candidates": 3}})
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG_FILE]
