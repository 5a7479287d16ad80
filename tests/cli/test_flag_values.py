"""Values that flags do not take: one sentence for each kind of flag, with status 2."""

import pytest

from deeplab_dpc.cli.main import execute


@pytest.mark.parametrize(
    ("command", "argument", "sentence"),
    [
        ("train", "--train_batch_size=two", "--train_batch_size must be a whole number, got two."),
        ("train", "--train_batch_size=2.5", "--train_batch_size must be a whole number, got 2.5."),
        ("train", "--train_batch_size=a: b", "--train_batch_size must be a whole number, got a: b."),
        ("train", "--train_batch_size=", "--train_batch_size must be a whole number, got nothing."),
        ("train", "--train_batch_size", "--train_batch_size needs a value, a whole number: --train_batch_size=VALUE."),
        ("train", "--data_dir", "--data_dir needs a value: --data_dir=VALUE."),
        ("train", "--base_learning_rate=1,5", "--base_learning_rate must be a number, got 1,5."),
        ("train", "--dry_run=maybe", "--dry_run must be true or false, got maybe."),
        ("train", "--nodry_run=1", "--nodry_run takes no value; give --dry_run=true or --dry_run=false."),
        ("build_folder", "--label_format=q", "--label_format must be one of ids, palette, rgb, got q."),
        ("describe", "--num_classes=", "--num_classes must be a whole number, got nothing."),
    ],
)
def test_wrong_values_get_one_sentence(capsys, command, argument, sentence):
    assert execute(command, [argument]) == 2
    assert capsys.readouterr().err == f"{command}: {sentence} See --help.\n"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--input_size=a,b", "--input_size must be HEIGHT,WIDTH in pixels, got a,b."),
        ("--input_size=", "--input_size must be HEIGHT,WIDTH in pixels, got nothing."),
        ("--input_size=33", "--input_size must be HEIGHT,WIDTH in pixels, got 33."),
        ("--atrous_rates=6,x", "--atrous_rates must be whole numbers (1,2), got 6,x."),
    ],
)
def test_lists_of_numbers_get_one_sentence(capsys, argument, sentence):
    assert execute("describe", ["--num_classes=2", argument]) == 2
    assert capsys.readouterr().err == f"describe: {sentence}\n"


def test_flagfile_of_a_wrong_value_is_named(tmp_path, capsys):
    (tmp_path / "a.flags").write_text("--train_batch_size=two\n")
    assert execute("train", [f"--flagfile={tmp_path / 'a.flags'}"]) == 2
    assert "a.flags: --train_batch_size must be a whole number, got two." in capsys.readouterr().err
