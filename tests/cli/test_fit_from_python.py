"""`deeplab_dpc.fit` and `run_search`: mistakes name arguments; what they make is in tests/api/test_examples.py."""

import pytest

import deeplab_dpc
from deeplab_dpc import UserError
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.cli import fit as command
from deeplab_dpc.cli import search
from deeplab_dpc.files import write_json
from deeplab_dpc.run_config import FIT_VERDICT


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hours": 0}, "`hours=0` must be at least 0.01 hours"),
        ({"images": "photos"}, "`images='photos'` does not exist|`labels` is required"),
        ({"data_dir": "absent"}, "`data_dir='absent'` does not exist"),
        ({"train_batch_size": "many"}, "train_batch_size"),
    ],
)
def test_mistakes_name_arguments(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        deeplab_dpc.fit(tmp_path / "R", **options)
    assert not (tmp_path / "R").exists()


def test_an_option_that_is_none_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="has no option 'lr'"):
        deeplab_dpc.fit(tmp_path / "R", lr=1)
    with pytest.raises(TypeError, match="has no option 'backend'"):  # Keras is imported already
        deeplab_dpc.fit(tmp_path / "R", backend="jax")
    with pytest.raises(UserError, match="`workdir` must be a path, got 1"):
        deeplab_dpc.fit(1)


def test_options_reach_the_command_and_the_verdict_comes_back(tmp_path, monkeypatch):
    seen = {}

    def main(flags):
        seen.update(hours=flags.hours, search=flags.search, classes=flags.data.fields["classes"])
        if not flags.plan_only:
            write_json(tmp_path / "R" / FIT_VERDICT, {"run": "final", "miou": 0.5, "sentence": "Best."})

    monkeypatch.setattr(command, "main", main)
    (tmp_path / "R").mkdir()
    options = {"hours": 2, "classes": ["sky", "road"], "search": False, "train_crop_size": (65, 65), "seed": None}
    assert deeplab_dpc.fit(tmp_path / "R", plan_only=True, **options) is None
    fitted = deeplab_dpc.fit(tmp_path / "R", **options)
    assert seen["hours"] == 2
    assert not seen["search"]
    assert seen["classes"] == "sky,road"
    assert (fitted.run, fitted.miou, fitted.sentence) == (tmp_path / "R" / "final", 0.5, "Best.")


def test_mistakes_of_a_search_name_arguments(tmp_path):
    with pytest.raises(TypeError, match=r"run_search\(\) has no option 'steps'; `deeplab-dpc search --helpfull`"):
        deeplab_dpc.run_search(tmp_path / "S", steps=1)
    with pytest.raises(
        UserError, match="`proxy_signal` must be one of miou, cross_entropy, mean_miou, last_loss, loss_sum, got luck"
    ):
        deeplab_dpc.run_search(tmp_path / "S", data_dir="absent", proxy_signal="luck")
    assert not (tmp_path / "S").exists()


@pytest.mark.parametrize("run", ["elsewhere/S/contest/aspp/seed_1", None])
def test_the_verdict_of_a_search_comes_back(tmp_path, monkeypatch, run):
    cell = load_cell("aspp")
    best = {"cell": cell.to_json(), "miou": 0.5 if run else None, "run": run}

    def main(flags):
        found = (flags.service["workers"], flags.search["warm_starts"], flags.data.data_dir)
        assert found == (2, ("aspp", "psp"), "DATA")
        write_json(tmp_path / "S" / "verdict.json", {"sentence": "Best on this data: aspp", "best": best})

    monkeypatch.setattr(search, "main", main)
    found = deeplab_dpc.run_search(tmp_path / "S", data_dir="DATA", workers=2, warm_starts=["aspp", "psp"])
    assert (found.best, found.sentence) == (cell, "Best on this data: aspp")
    expected = (0.5, tmp_path / "S" / "contest" / "aspp" / "seed_1") if run else (None, None)
    assert (found.miou, found.run) == expected


def test_a_search_without_scores_has_no_best_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "main", lambda values: None)
    assert deeplab_dpc.run_search(tmp_path / "S", data_dir="DATA", mode="cache").best is None
