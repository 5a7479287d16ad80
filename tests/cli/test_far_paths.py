"""Paths on other machines are refused by every command, before it makes a local folder of that name."""

import pytest

from deeplab_dpc.cli.main import execute


@pytest.mark.parametrize(
    ("command", "flag", "shown"),
    [
        ("train", "--workdir=gs://bucket/run", "gs://"),
        ("build_coco", "--data_dir=s3://bucket/data", "s3://"),
        ("train", "--tf_initial_checkpoint=https://user:secret@host/model.ckpt", "https://"),
        ("search", "--workdir=hdfs://host/search", "hdfs://"),
        ("eval", "--compare=runs/a,gs://bucket/b", "gs://"),
        ("predict", "--output_dir=gs:/bucket/out", "gs:/"),
        ("predict", "--images=http://host/a.jpg", "http://"),
        ("export", "--export_dir=file:///srv/model", "file:/"),
        ("build_folder", "--images=abfs://container/images", "abfs://"),
        ("check_data", "--data_dir=https://host/data", "https://"),
        ("describe", "--genotype_json=gs://bucket/genotype.json", "gs://"),
    ],
)
def test_path_on_another_machine_is_refused(command, flag, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute(command, [flag]) == 2
    said = capsys.readouterr().err
    name = flag.partition("=")[0]
    assert said.startswith(f"{command}: {name} begins with {shown}")
    assert said.rstrip().endswith("and give that folder.")
    assert said.count("\n") == 1
    assert "secret" not in said
    assert list(tmp_path.iterdir()) == []
