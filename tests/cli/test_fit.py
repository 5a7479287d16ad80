"""fit: what it refuses, the classes it finds, and the record of its stages."""

import dataclasses
import json
import time
import types

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.cli import fit_commands, fit_page, fit_stages, fit_state
from deeplab_dpc.cli.fit_choices import Choice
from deeplab_dpc.cli.fit_commands import Commands
from deeplab_dpc.cli.fit_page import class_section
from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.cli.fit_schedule import Fingerprint, Measured
from deeplab_dpc.cli.fit_stages import Fit
from deeplab_dpc.cli.fit_state import STAGES, Stages
from deeplab_dpc.cli.fit_verdict import write_verdict
from deeplab_dpc.cli.fit_weights import WEIGHTS_AFTER, decide_weights
from deeplab_dpc.cli.main import execute
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json

FLAGS = {"hours": "1.0"}


@pytest.fixture
def fit(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty directory that has photos/; returns its status and what it said."""
    monkeypatch.chdir(tmp_path)
    _write(tmp_path / "photos", [0, 100, 200], is_label=False)

    def run(*flags):
        status = execute("fit", ["--workdir=R", *flags])
        captured = capsys.readouterr()
        return status, " ".join((captured.err if status else captured.out).split())

    return run


def _write(folder, ids, is_label=True):
    folder.mkdir()
    for number in range(6):
        pixels = np.resize(np.array(ids, "uint8"), (40, 48))
        if not is_label:
            pixels = np.stack([pixels, np.full_like(pixels, number), pixels], axis=-1)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--hours=0"], "--hours=0 must be at least 0.01 hours, at most 10000."),
        (["--hours=-1"], "--hours=-1 must be at least 0.01 hours"),
        (["--hours=nan"], "--hours=nan must be at least 0.01 hours"),
        (["--images=absent", "--labels=photos"], "--images=absent does not exist"),
        (["--images=photos", "--labels=absent"], "--labels=absent does not exist"),
        (["--images=photos"], "--labels is required: the folder of label PNGs, or the annotations, of the images of"),
        (["--labels=photos"], "--labels needs --images"),
        (["--data_dir=absent"], "--data_dir=absent does not exist"),
        (
            ["--images=photos", "--labels=photos", "--data_dir=photos"],
            "Give either --images (own images) or --data_dir",
        ),
        (["--dense_prediction_cell_json=psp"], "give it as one of --warm_starts"),
        (["--data_dir=photos"], "photos"),
        (["--images=photos", "--labels=photos"], "--images and --labels are one folder, photos; give as --labels"),
        (["--tf_initial_checkpoint=absent"], "there is no file absent.index"),
        (["--restore_moving_averages"], "is for --tf_initial_checkpoint; give that too"),
        (["--train_split=val"], "Unknown command line flag 'train_split'"),
    ],
)
def test_wrong_flags_get_a_sentence(fit, flags, said):
    status, text = fit(*flags)
    assert status == 2
    assert said in text
    assert text.count("Traceback") == 0


def test_a_folder_of_another_run_is_refused(fit, tmp_path):
    (tmp_path / "R").mkdir()
    (tmp_path / "R" / "config.json").write_text("{}")
    status, text = fit()
    assert status == 2
    assert "holds a run or a data set already; give a folder of its own" in text
    assert [path.name for path in (tmp_path / "R").iterdir()] == ["config.json"]


def test_a_file_for_a_workdir_is_refused(fit, tmp_path):
    (tmp_path / "R").write_text("")
    status, text = fit()
    assert status == 2
    assert "must be a folder" in text


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([0, 255], "if 255 is the object, give --classes=background,object --label_map='255:1,*:same'."),
        ([3], "--classes is required, since the labels in masks have the ids 3"),
        ([0, 200], "--classes is required, since the labels in masks have the ids 0, 200"),
        ([255], "has no label with an id below 255"),
        (
            [0, 0, 0, 40, 90, 140, 190, 240, 255, 255, 255],
            "(40, 90, 140, 190, 240), as smooth edges, scaling and JPEG make them, and these are no class ids; "
            "threshold it to two values, 0 and 255, save it as PNG, and give --classes=background,object "
            "--label_map='255:1,*:same'.",
        ),
    ],
)
def test_labels_that_tell_no_classes_get_a_sentence(fit, tmp_path, ids, said):
    _write(tmp_path / "masks", ids)
    status, text = fit("--images=photos", "--labels=masks")
    assert status == 2
    assert said in text


@pytest.mark.parametrize(
    ("picture", "name", "said"),
    [
        (
            Image.fromarray(np.zeros((40, 48), np.uint8)),
            "0.jpg",
            "masks/0.jpg is a JPEG, which changes the pixel values",
        ),
        (Image.fromarray(np.zeros((40, 48), np.float32)), "0.tif", "The label masks/0.tif has floating-point values;"),
        (None, "0.png", "The file masks/0.png is empty; replace it, or give --skip_bad to leave it out."),
    ],
)
def test_labels_that_cannot_be_used_are_named_without_classes_too(fit, tmp_path, picture, name, said):
    (tmp_path / "masks").mkdir()
    if picture is None:
        (tmp_path / "masks" / name).write_bytes(b"")
    else:
        picture.save(tmp_path / "masks" / name)
    status, text = fit("--images=photos", "--labels=masks")
    assert status == 2
    assert said in text


def test_one_image_is_too_few(fit, tmp_path):
    _write(tmp_path / "masks", [0, 1])
    for number in range(1, 6):
        for folder in ("photos", "masks"):
            (tmp_path / folder / f"{number}.png").unlink()
    status, text = fit("--images=photos", "--labels=masks")
    assert status == 2
    assert "has only one labelled image, and fit needs at least two, one for train and one for val; add some." in text


def test_data_that_did_not_pass_the_check_are_converted_again_once_they_are_mended(fit, tmp_path, monkeypatch):
    def planned(self):
        raise UserError("the data have passed the check")

    monkeypatch.setattr(Fit, "_plan", planned)
    _write(tmp_path / "masks", [0, 1])
    away = tmp_path / "away"
    for folder in ("photos", "masks"):
        (away / folder).mkdir(parents=True)
        for number in range(1, 6):
            (tmp_path / folder / f"{number}.png").rename(away / folder / f"{number}.png")
    status, text = fit("--images=photos", "--labels=masks")
    assert "has only one labelled image" in text
    for path in sorted(away.rglob("*.png")):
        path.rename(tmp_path / path.relative_to(away))
    status, text = fit("--images=photos", "--labels=masks")
    assert (status, "the data have passed the check" in text) == (2, True), text
    (tmp_path / "photos" / "5.png").unlink()
    status, text = fit("--images=photos", "--labels=masks")
    assert (status, "there were 12 files, now there are 11" in text) == (2, True), text


def test_images_of_one_group_have_no_val(fit, tmp_path):
    _write(tmp_path / "masks", [0, 1])
    status, text = fit("--images=photos", "--labels=masks", "--group_by=png")
    assert status == 2
    assert "its 6 images are one group (--group_by=png), which stays together; give a --group_by that makes" in text


def test_workdir_that_cannot_be_written_is_named(fit):
    status, text = fit("--workdir=/proc/R")
    assert status == 2
    assert text.startswith("fit: --workdir=/proc/R cannot be written (")
    assert "); give another --workdir, or permission to write there." in text


def test_plan_of_a_finished_run_is_not_said_to_go_on(tmp_path, monkeypatch, capsys):
    from deeplab_dpc.cli import fit_stages
    from deeplab_dpc.cli.main import parse

    stages = Stages(tmp_path, FLAGS, 60)
    for name in STAGES:
        stages.skip(name, "test")
    verdict = {"sentence": "The verdict.", "note": ""}
    monkeypatch.setattr(fit_stages, "read_verdict", lambda root: verdict)
    monkeypatch.setattr(fit_stages.Fit, "_report", lambda self: (self.root / "index.html").write_text(""))
    monkeypatch.setattr(fit_stages.Fit, "plan", types.SimpleNamespace(show=lambda: None))
    monkeypatch.setattr(fit_stages.Fit, "_left_out", lambda self, name: "" if name != "plan" else "test")
    monkeypatch.setattr(fit_stages, "Commands", lambda *_: None)
    flags = parse("fit", [f"--workdir={tmp_path}", "--plan_only"])
    fit_stages.Fit(flags, tmp_path, stages, {}, None).run()
    said = capsys.readouterr().out
    assert f"The run is finished; its plan (--plan_only) and its results are in {tmp_path / 'index.html'}." in said
    assert "goes on" not in said


def test_echoed_commands_can_be_pasted_into_a_shell(monkeypatch, capsys):
    monkeypatch.setattr(fit_state.importlib, "import_module", lambda name: None)
    monkeypatch.setattr(fit_state, "parse", lambda command, argv: None)
    with pytest.raises(AttributeError):
        fit_state.run_command("build_folder", images="my photos", label_map="255:1,*:same", check=False)
    said = " ".join(capsys.readouterr().out.split())
    assert said == "deeplab-dpc build-folder --images='my photos' --label_map='255:1,*:same' --check=False"


def test_masks_of_0_and_255_with_named_classes_end_at_the_check_and_the_cure_can_be_given(fit, tmp_path):
    _write(tmp_path / "masks", [0, 255])
    own = ("--images=photos", "--labels=masks", "--classes=background,object")
    status, text = fit(*own)
    assert status == 2
    assert "--label_map='255:1,*:same'" in text
    record = json.loads((tmp_path / "R" / "fit.json").read_text())
    assert "check" not in record["done"]
    status, text = fit(*own, "--label_map=255:300,*:same")  # the directory is not bound to the flags that failed
    assert status == 2
    assert "begun with other flags" not in text


def test_classes_are_counted_in_the_labels_or_read_beside_them(fit, tmp_path, capsys):
    from deeplab_dpc.cli.fit_classes import find_classes
    from deeplab_dpc.cli.main import parse

    _write(tmp_path / "masks", [0, 2, 255])
    own = parse("fit", ["--images=photos", "--labels=masks"]).own
    assert find_classes(own, None) == "class_0,class_1,class_2"
    (tmp_path / "masks" / "classes.txt").write_text("a\nb\nc\n")
    assert find_classes(own, None) == "masks/classes.txt"
    assert find_classes(own, "x,y") == "x,y"


def test_time_counts_over_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_state, "BEAT_SECONDS", 0.01)
    record = tmp_path / "fit.json"
    stages = Stages(tmp_path, FLAGS, 3600)
    with stages.stage("convert"):
        for _ in range(500):
            if record.exists() and json.loads(record.read_text())["begun"].get("convert", 0) >= 0.1:
                break
            time.sleep(0.01)
        as_killed = json.loads(record.read_text())  # what a kill -9 would leave here
    assert as_killed["done"] == {}
    as_killed["begun"]["convert"] = 100.0
    record.write_text(json.dumps(as_killed))
    again = Stages(tmp_path, FLAGS, 3600)
    assert again.used >= 100
    assert not again.is_done("convert")
    with again.stage("convert"):
        pass
    assert again.seconds_of("convert") >= 100
    assert Stages(tmp_path, FLAGS, 3600).is_done("convert")


def test_stage_that_fails_is_not_done(tmp_path):
    stages = Stages(tmp_path, FLAGS, 3600)
    with pytest.raises(ZeroDivisionError), stages.stage("plan"):
        raise ZeroDivisionError
    assert not Stages(tmp_path, FLAGS, 3600).is_done("plan")


def test_directory_is_bound_to_the_flags_once_the_data_are_right(fit, tmp_path):
    stages = Stages(tmp_path / "R", {"hours": "0.5"}, 1800)
    stages.skip("convert", "")
    assert Stages(tmp_path / "R", FLAGS, 3600).used == 0
    stages.skip("check", "")
    with pytest.raises(UserError, match=r"--hours \(was 0.5, now 1.0\)"):
        Stages(tmp_path / "R", FLAGS, 3600)
    status, text = fit("--hours=0.25", "--seed=3")
    assert status == 2
    assert "--seed (was not given, now 3)" in text
    assert "give the same flags to continue it, or another --workdir" in text


def test_damaged_record_is_named(tmp_path):
    (tmp_path / "fit.json").write_text('{"flags": {}}')
    with pytest.raises(UserError, match=r"fit\.json is damaged"):
        Stages(tmp_path, FLAGS, 3600)


def test_every_stage_has_its_work():
    from deeplab_dpc.cli.fit_stages import Fit

    assert all(callable(getattr(Fit, f"_{name}")) for name in STAGES)


@pytest.fixture
def plan(tmp_path):
    shares, cells = {"road": 0.99, "pole": 0.01}, {"road": 4.0, "pole": 0.5}
    data = Fingerprint({"train": 9}, (65, 65), (65, 65), shares, cells, weights={"road": 0.25, "pole": 4.0})
    return Plan(tmp_path / "plan.json", data, Measured((65, 65), 0.1, 5.0), {"search": Choice(True, "why")})


def test_plan_is_read_as_it_was_written_and_decisions_stay(plan, tmp_path):
    plan.decide("rerank_steps", 7, "first")
    plan.note("step_seconds", 0.5)
    again = Plan.read(tmp_path)
    assert again.decide("rerank_steps", 9, "second") == 7
    assert again.decide("rerank_steps", 9, "third", replace=True) == 9
    assert again.notes == {"step_seconds": 0.5}
    assert again["search"] is True
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        Plan.read(tmp_path)


def test_baseline_that_its_time_limit_shortened_is_not_trained_again(plan, tmp_path, monkeypatch):
    """A start after a kill during its evaluation would train it with other flags, which the run directory refuses."""
    chosen = {"baseline_steps": 40, "schedule_steps": 90, "baseline_learning_rate": 0.1, "atrous_rates": "1,2,3"}
    plan.replace(("search",), {name: Choice(value, "why") for name, value in chosen.items()})
    plan.replace((), {"tf_initial_checkpoint": Choice(None, ""), "label_weights": Choice("1,1", "")})
    trained = []

    class KilledError(Exception):
        pass

    def kill(name, **flags):
        if len(kills) < 1:
            kills.append(name)
            raise KilledError

    kills = []
    monkeypatch.setattr(fit_stages, "run_command", kill)
    monkeypatch.setattr(fit_stages, "newest_progress", lambda run: types.SimpleNamespace(step=30))
    monkeypatch.setattr(fit_stages, "step_seconds", lambda run: 0.5)
    monkeypatch.setattr(Commands, "train", lambda self, run, plan, steps, schedule, **more: trained.append(steps))
    monkeypatch.setattr(Fit, "_plan_search_again", lambda self, plan: None)
    monkeypatch.setattr(fit_stages, "decide_weights", lambda *arguments: None)
    flags = types.SimpleNamespace(
        data=types.SimpleNamespace(data_dir=None), start=types.SimpleNamespace(restore_moving_averages=False)
    )
    stages = types.SimpleNamespace(left=100.0)
    with pytest.raises(KilledError):
        Fit(flags, tmp_path, stages, {}, None)._baseline()
    assert Plan.read(tmp_path)["baseline_steps"] == 30
    Fit(flags, tmp_path, stages, {}, None)._baseline()
    assert trained == [40]
    assert Plan.read(tmp_path)["baseline_steps"] == 30


@pytest.mark.parametrize(("difference", "shipped"), [(0.05, "final"), (-0.05, "baseline")])
def test_the_better_of_both_ships_and_the_verdict_says_over_what(plan, tmp_path, difference, shipped):
    for name, value in (
        ("search", False),
        ("baseline_steps", 40),
        ("training_number_of_steps", 90),
        ("last_run", "final"),
    ):
        plan.decide(name, value, "", replace=True)
    plan.decide("train_batch_size", 4, "")
    for run in ("baseline", "final"):
        iou = {"sky": 0.9, "car": 0.0 if run == "final" else 0.2}
        metrics = {"miou": 0.5, "intervals": {"miou": [0.4, 0.6]}, "num_images": 7, "per_class_iou": iou}
        write_json(tmp_path / run / "eval_val" / "metrics.json", metrics)
    miou = {"difference": difference, "interval": [difference - 0.01, difference + 0.02], "excludes_0": True}
    write_json(tmp_path / "comparison" / "comparison.json", {"miou": miou})
    verdict = write_verdict(tmp_path, plan)
    assert verdict["run"] == shipped
    assert verdict["sentence"].startswith("mIOU 50.00 % (95 % interval 40.00 to 60.00) on the 7 images of val: ")
    assert "5.00 points (+4.00 to +7.00)" in verdict["sentence"] or shipped == "baseline"
    assert "5.00 points (+3.00 to +6.00)" in verdict["sentence"] or shipped == "final"
    steps = "40" if shipped == "baseline" else "90"
    assert f"{steps} steps" in verdict["sentence"].partition("points")[0]
    assert ("which is little" in verdict["note"]) == (shipped == "baseline")
    assert ("The network does not recognise car (IoU 0)." in verdict["note"]) == (shipped == "final")


def test_a_test_split_is_in_the_verdict(plan, tmp_path):
    for name, value in (("baseline_steps", 400), ("last_run", "baseline"), ("train_batch_size", 4)):
        plan.decide(name, value, "")
    for split in ("val", "test"):
        metrics = {"miou": 0.25, "intervals": {"miou": None}, "num_images": 3, "per_class_iou": {}}
        write_json(tmp_path / "baseline" / f"eval_{split}" / "metrics.json", metrics)
    verdict = write_verdict(tmp_path, plan)
    assert verdict["over"] is None
    assert (
        "since no time was left for more. On the 3 images of test, which were not used for any choice: 25.00 %."
        in (verdict["sentence"])
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [(["pole has IoU 1.0 %; it is rare."], "pole has IoU 1.0 %; it is rare."), ([], "No class has an IoU below 50 %.")],
)
def test_page_has_the_advice_of_the_evaluation(plan, tmp_path, said, shown):
    metrics = {"per_class_iou": {"road": 0.9, "pole": 0.01}, "intervals": {"per_class_iou": {}}, "advice": said}
    write_json(tmp_path / "baseline" / "eval_val" / "metrics.json", metrics)
    section = class_section(tmp_path / "baseline", plan)
    assert section.text == shown
    assert section.tables[0][2][1] == ("pole", "1.0", "-", "1.00", "0.5")


def test_annotations_name_the_classes_and_may_lie_beside_the_images(fit, tmp_path):
    shape = {"label": "car", "points": [[1, 1], [1, 30], [30, 30]], "shape_type": "polygon"}
    for name in ("0", "1", "2", "3", "4"):
        (tmp_path / "photos" / f"{name}.json").write_text(json.dumps({"shapes": [shape], "imagePath": "x"}))
    status, text = fit("--images=photos", "--labels=photos")
    assert status == 2
    assert "5.png: 1 image in photos without annotations in photos; annotate them, or move them away." in text
    (tmp_path / "photos" / "5.json").write_text('{"shapes": [')
    status, text = fit("--images=photos", "--labels=photos")
    assert status == 2
    assert "The labelme file photos/5.json is not valid JSON" in text


@pytest.mark.parametrize(
    ("iou", "weights", "said"),
    [
        ({"road": 0.3, "pole": 0.1}, "0.5,2", "pole: rare, IoU below 50 %; roots of median frequency balancing"),
        ({"road": 0.9, "pole": None}, "0.5,2", "pole: rare, IoU below 50 %; roots of median frequency balancing"),
        ({"road": 0.3, "pole": 0.6}, "", "no class of less than 2 % of the labels has an IoU below 50 %"),
    ],
)
def test_rare_classes_that_the_baseline_recognises_badly_get_weights(plan, tmp_path, iou, weights, said):
    plan.decide("label_weights", "", "none")
    write_json(tmp_path / "baseline" / "eval_val" / "metrics.json", {"per_class_iou": iou})
    decide_weights(plan, tmp_path / "check", tmp_path / "baseline")
    assert (plan[WEIGHTS_AFTER], plan.choices[WEIGHTS_AFTER].reason) == (weights, said)


def test_weights_of_a_plan_of_an_earlier_version_are_those_of_the_check(plan, tmp_path):
    plan.data = dataclasses.replace(plan.data, weights={})
    plan.decide("label_weights", "", "none")
    write_json(tmp_path / "baseline" / "eval_val" / "metrics.json", {"per_class_iou": {"road": 0.3, "pole": 0.1}})
    write_json(tmp_path / "check" / "check_data.json", {"label_weights": {"weights": {"road": 0.25, "pole": 9.0}}})
    decide_weights(plan, tmp_path / "check", tmp_path / "baseline")
    assert plan[WEIGHTS_AFTER] == "0.5,3"


@pytest.mark.parametrize(
    "chosen", [Choice("1,2", "given", given=True), Choice("", "given", given=True), Choice("3,4", "")]
)
def test_weights_that_the_baseline_has_stay(plan, tmp_path, chosen):
    plan.choices["label_weights"] = chosen
    write_json(tmp_path / "baseline" / "eval_val" / "metrics.json", {"per_class_iou": {"road": 0.3, "pole": 0.1}})
    decide_weights(plan, tmp_path / "check", tmp_path / "baseline")
    assert WEIGHTS_AFTER not in plan.choices


def test_label_weights_of_another_number_of_classes_end_the_check(fit, tmp_path):
    _write(tmp_path / "masks", [0, 1, 2])
    arguments = ("--images=photos", "--labels=masks")
    status, text = fit(*arguments, "--label_weights=1,2")
    assert (status, "--label_weights" in text) == (2, True)
    assert "check" not in json.loads((tmp_path / "R" / "fit.json").read_text())["done"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--cell_operations=typo", "No installed package has an operation 'typo'"),
        ("--cell_rates=0", "must be a tuple of distinct integers"),
        ("--num_candidates=-1", "--num_candidates must not be negative"),
        ("--train_batch_size=0", "--train_batch_size must be greater than 0"),
        ("--warm_starts=dpc_top2", "dpc_top2"),
        ("--feature_views=-1", "--feature_views must be >= 0, got -1"),
        ("--rerank_top_k=0", "leaves out the contest, by which fit chooses the cell; give at least 1, or --nosearch"),
        ("--precision=float16", "--precision=float16 is not for searches (float32 or bfloat16); give one of these, or"),
        ("--baseline_steps=0", "--baseline_steps must be greater than 0, got 0"),
        ("--workdir=a,b", "--workdir=a,b has a comma, which separates runs in other commands"),
    ],
)
def test_mistake_in_a_flag_of_a_later_stage_is_found_at_the_start(fit, tmp_path, flag, message):
    """A mistake is found before anything is written, since the directory is then bound to the flags."""
    status, text = fit(flag)
    assert status == 2
    assert message in text
    assert not (tmp_path / "R").exists()


def test_search_of_fit_is_its_own_and_tries_again_what_kills_have_interrupted(plan, tmp_path, monkeypatch):
    """Five kills would otherwise leave a finalist out, and DEEPLAB_DPC_STORAGE would give all fits one study."""
    names = ("proxy_steps", "proxy_batch_size", "proxy_learning_rate", "feature_views", "contest_rounds")
    chosen = dict.fromkeys((*names, "contest_seeds", "train_batch_size", "base_learning_rate"), 1)
    chosen |= {"warm_starts": "aspp", "label_weights": "", "precision": "float32"}
    plan.replace((), {name: Choice(value, "why") for name, value in chosen.items()})
    given = []
    monkeypatch.setattr(fit_commands, "run_command", lambda name, **flags: given.append(flags))
    flags = types.SimpleNamespace(data=types.SimpleNamespace(data_dir=None))
    Commands(flags, {}, tmp_path / "data", tmp_path / "baseline", tmp_path / "search").search(plan, num_candidates=3)
    [flags] = given
    assert flags["retry_given_up"] is True
    assert flags["storage"] == f"journal:{tmp_path / 'search' / 'study.journal'}"


def test_steps_of_a_contest_are_at_most_half_of_the_given_total(plan, tmp_path, monkeypatch):
    chosen = {"warm_starts": "aspp,conv1x1", "rerank_top_k": 1, "num_candidates": 2, "most_steps": 9999}
    chosen |= {"contest_rounds": 1, "contest_seeds": 1}
    plan.replace((), {name: Choice(value, "why") for name, value in chosen.items()})
    for name, seconds in {"step_seconds": 0.1, "start_seconds": 1.0, "evaluation_seconds": 1.0}.items():
        plan.note(name, seconds)
    monkeypatch.setattr(Commands, "search", lambda self, plan, **more: None)
    stages = types.SimpleNamespace(left=3600.0)
    flags = types.SimpleNamespace(data=types.SimpleNamespace(data_dir=None))
    Fit(flags, tmp_path, stages, {"training_number_of_steps": 100}, None)._contest()
    assert (Plan.read(tmp_path)["rerank_steps"], Plan.read(tmp_path)["rerank_schedule_steps"]) == (50, 100)
    plan.write()
    Fit(flags, tmp_path, stages, {"training_number_of_steps": 8}, None)._contest()
    without = Plan.read(tmp_path)
    assert not without["search"]
    assert without.choices["search"].reason.startswith("half of --training_number_of_steps=8 is too few for a contest")


def test_network_that_has_the_given_steps_is_exported_as_it_is(plan, tmp_path, monkeypatch):
    plan.replace(("search",), {"search": Choice(False, ""), "atrous_rates": Choice("1,2,3", "")})
    for name, seconds in {"step_seconds": 0.1, "start_seconds": 1.0, "evaluation_seconds": 1.0}.items():
        plan.note(name, seconds)
    monkeypatch.setattr(fit_stages, "fork_step", lambda run: 500)
    flags = types.SimpleNamespace(data=types.SimpleNamespace(data_dir=None))
    Fit(flags, tmp_path, types.SimpleNamespace(left=3600.0), {"training_number_of_steps": 500}, None)._finish()
    chosen = Plan.read(tmp_path).choices["last_run"]
    assert (chosen.value, chosen.reason) == ("baseline", "it has the 500 steps of --training_number_of_steps")


def test_page_of_a_run_whose_contest_was_left_out_has_none(plan, tmp_path):
    plan.replace(("search",), {"search": Choice(False, "too little time")})
    verdict = {"run": "final", "over": {}, "note": ""}
    stages = types.SimpleNamespace(used=1.0, seconds=2.0)
    write_json(tmp_path / "search" / "verdict.json", {})  # of the search before it
    assert "contest" not in fit_page._verdict(tmp_path, verdict, plan, stages).text
    plan.replace(("search",), {"search": Choice(True, "enough")})
    assert "contest" in fit_page._verdict(tmp_path, verdict, plan, stages).text
