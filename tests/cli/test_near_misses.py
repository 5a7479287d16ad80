"""Commands and flags that there are not are answered with those that were meant."""

import subprocess
import sys

import pytest

from deeplab_dpc.cli.flag_mistakes import COMMANDS_ELSEWHERE, FLAGS_ELSEWHERE, near_command
from deeplab_dpc.cli.main import COMMANDS, defined_flags, execute


@pytest.mark.parametrize(
    ("command", "flag", "answer"),
    [
        ("train", "--lr=0.1", "'lr': it is --base_learning_rate here."),
        ("train", "--batch_size=4", "'batch_size': it is --train_batch_size here."),
        ("train", "--epochs=4", "'epochs': it is --training_number_of_epochs here."),
        ("train", "--max_iters=4", "'max_iters': it is --training_number_of_steps here."),
        ("train", "--train_crop=65,65", "'train_crop'; did you mean --train_crop_size?"),
        ("train", "--train-batch-size=4", "'train-batch-size'; did you mean --train_batch_size?"),
        ("train", "--backbone=xception_65", "'backbone': it is --model_variant here."),
        ("train", "--wrkdir=x", "'wrkdir'; did you mean --workdir?"),
        ("train", "--num_candidates=3", "'num_candidates': it is a flag of fit and search."),
        ("train", "--zzzzzz=1", "'zzzzzz'."),
        ("fit", "--image=x", "'image'; did you mean --images?"),
        ("fit", "--label=x", "'label'; did you mean --labels?"),
        ("fit", "--train_crop=65,65", "'train_crop'; did you mean --train_crop_size?"),
        ("train", "--weight_decai=0", "'weight_decai'; did you mean --weight_decay?"),
        (
            "check_data",
            "--lr=1",
            "'lr': it is --base_learning_rate of fit and train, and this command has none.",
        ),
        ("search", "--lr=0.1", "'lr': it is --proxy_learning_rate here."),
        ("search", "--batch_size=4", "'batch_size': it is --proxy_batch_size here."),
        ("predict", "--input=x", "'input': it is --images here."),
        ("export", "--output=x", "'output': it is --export_dir here."),
        ("build_folder", "--root=x", "'root': it is --data_dir here."),
        ("eval", "--flip", "'flip': it is --add_flipped_images here."),
    ],
)
def test_unknown_flag_is_answered_in_one_sentence(command, flag, answer, capsys):
    assert execute(command, [flag]) == 2
    assert capsys.readouterr().err == f"{command}: Unknown command line flag {answer} See --help.\n"


def test_unknown_flag_of_a_file_is_answered_with_the_file(tmp_path, capsys):
    (tmp_path / "a.flags").write_text("--lr=1\n")
    assert execute("train", [f"--flagfile={tmp_path / 'a.flags'}"]) == 2
    assert "a.flags: Unknown command line flag 'lr': it is --base_learning_rate here." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("traim", "did you mean train?"),
        ("evaluate", "did you mean eval?"),
        ("build-foldr", "did you mean build-folder?"),
        ("zzzzzz", "the commands are build-ade20k, "),
    ],
)
def test_unknown_command_is_answered_in_one_sentence(given, answer):
    program = [sys.executable, "-m", "deeplab_dpc.cli.main", given]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert f"deeplab-dpc: {given!r} is not a command; {answer}" in ended.stderr


def test_names_of_the_table_are_of_elsewhere_and_lead_to_commands():
    assert set(COMMANDS_ELSEWHERE.values()) <= set(COMMANDS)
    assert not set(COMMANDS_ELSEWHERE) & set(COMMANDS)
    assert near_command("build-voc", COMMANDS) == "build_voc2012"


def test_every_name_of_the_table_leads_to_a_flag_of_some_command():
    known = set()
    for command in COMMANDS:
        known |= set(defined_flags(command))
    assert {ours for names in FLAGS_ELSEWHERE.values() for ours in names} <= known
    assert not set(FLAGS_ELSEWHERE) & set(defined_flags("train"))


def test_far_default_of_another_command_does_not_hide_the_unknown_flag(monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/data")
    assert execute("train", ["--foo_bar=1"]) == 2
    assert "foo_bar" in capsys.readouterr().err
