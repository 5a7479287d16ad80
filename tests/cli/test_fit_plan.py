"""The planner of fit: pure functions of the data's fingerprint, the rehearsal and the time."""

import dataclasses
import math

import pytest

from deeplab_dpc.cli import fit_commands
from deeplab_dpc.cli.fit_plan import BASELINE_EPOCHS, MAX_EPOCHS, SCHEDULE, network_choices, time_choices, too_short
from deeplab_dpc.cli.fit_schedule import (
    Fingerprint,
    Measured,
    cell_seconds,
    contest_cost,
    contest_steps,
    evaluation_interval,
    final_steps,
    guessed_cell_seconds,
)
from deeplab_dpc.cli.fit_search_plan import LEAST_CONTEST_STEPS, OF_SEARCH, search_choices

SHARES = {"sky": 0.9, "pole": 0.1}
PHOTOS = Fingerprint({"train": 367, "val": 101}, (360, 480), (360, 480), SHARES, {"sky": 9.0})
FEW = dataclasses.replace(PHOTOS, images={"train": 23, "val": 6})
SLOW = Measured((321, 321), 0.4, 20.0)  # two CPU cores
FAST = Measured((513, 513), 0.005, 30.0)  # an accelerator
HOUR = 3600.0


def _values(choices):
    return {name: choice.value for name, choice in choices.items()}


def _planned(data=PHOTOS, measured=SLOW, left=HOUR, given=None):
    return time_choices(data, measured, left, given or {}, measured.crop)


def _rehearsed(monkeypatch, seconds, native=True, accelerated=False, left=HOUR, **given):
    """Returns what Commands.rehearse gives if a step takes so many seconds per image in each precision."""
    commands, run = fit_commands.Commands(None, given, None, None, None), []
    monkeypatch.setattr(fit_commands, "has_bfloat16", lambda: native)

    def rehearsal(shared, crop, batch, precision):
        run.append(precision)
        return Measured(crop, seconds[precision], 20.0, 1e9 if precision == "float32" else 0.0, 8e9)

    monkeypatch.setattr(commands, "_rehearsal", rehearsal)
    measured, choice = commands.rehearse({}, (321, 321), 4, accelerated, left)
    assert measured.seconds_per_image == seconds[choice.value]
    return run, measured, choice


@pytest.mark.parametrize(
    ("gpus", "batch", "flag"),
    [
        (0, 4, {}),
        (1, 4, {}),
        (2, 4, {}),
        (3, 4, {"num_clones": 2}),
        (8, 4, {"num_clones": 4}),
        (2, 5, {"num_clones": 1}),
    ],
)
def test_a_batch_that_not_all_devices_can_share_is_shared_by_fewer(monkeypatch, gpus, batch, flag):
    devices = [f"gpu:{i}" for i in range(gpus)] or ["cpu:0"]
    monkeypatch.setattr(fit_commands.keras.distribution, "list_devices", lambda: devices)
    assert fit_commands._clones(batch) == flag


def test_precision_is_the_faster_one(monkeypatch):
    run, measured, choice = _rehearsed(monkeypatch, {"float32": 0.4, "bfloat16": 0.3})
    assert run == ["float32", "bfloat16"]
    assert (choice.value, choice.given) == ("bfloat16", False)
    assert "1.33 times as fast" in choice.reason
    assert measured.memory_per_image == 1e9
    run, _, choice = _rehearsed(monkeypatch, {"float32": 0.4, "bfloat16": 0.36})
    assert (len(run), choice.value) == (2, "float32")
    assert "1.11 times as fast, which is too little" in choice.reason


def test_bfloat16_is_rehearsed_only_where_it_can_be_faster_and_the_time_allows_it(monkeypatch):
    seconds = {"float32": 0.4, "bfloat16": 0.3}
    run, _, choice = _rehearsed(monkeypatch, seconds, native=False)
    assert (run, choice.value) == (["float32"], "float32")
    assert "no instructions for bfloat16" in choice.reason
    assert _rehearsed(monkeypatch, seconds, native=False, accelerated=True)[2].value == "bfloat16"
    run, _, choice = _rehearsed(monkeypatch, seconds, left=0.0)
    assert (run, choice.value) == (["float32"], "float32")
    assert "too little time" in choice.reason


def test_given_precision_is_the_one_rehearsed(monkeypatch):
    run, _, choice = _rehearsed(monkeypatch, {"float32": 0.4, "bfloat16": 0.3}, native=False, precision="bfloat16")
    assert (run, choice.value, choice.given) == (["bfloat16"], "bfloat16", True)


def test_few_images_are_not_trained_on_for_thousands_of_epochs():
    values = _values(_planned(FEW, FAST, 100 * HOUR))
    assert values["baseline_steps"] * values["train_batch_size"] <= BASELINE_EPOCHS * 23 + values["train_batch_size"]
    assert values["most_steps"] * values["train_batch_size"] <= MAX_EPOCHS * 23 + values["train_batch_size"]
    assert final_steps(values["baseline_steps"], 99 * HOUR, 0.04, values["most_steps"]) == values["most_steps"]


def test_few_images_have_no_search_and_the_reason_is_said():
    choice = _planned(FEW, FAST, 10 * HOUR)["search"]
    assert choice.value is False
    assert "23 images of train and 6 of val are too few" in choice.reason


def test_short_time_has_no_search_and_the_reason_is_said():
    choices = _planned(left=0.5 * HOUR)
    assert choices["search"].value is False
    assert "too little time" in choices["search"].reason
    assert "num_candidates" not in choices


def test_long_time_has_a_search_whose_finalists_include_aspp():
    values = _values(_planned(left=48 * HOUR))
    assert values["search"] is True
    assert "aspp" in values["warm_starts"].split(",")
    assert values["rerank_top_k"] >= 1


@pytest.mark.parametrize("hours", [0.05, 0.1, 0.25, 0.5, 1, 2, 8, 24])
@pytest.mark.parametrize("measured", [SLOW, FAST])
def test_more_time_never_means_fewer_steps_than_the_time_has(hours, measured):
    values = _values(_planned(measured=measured, left=hours * HOUR))
    height, width = values["train_crop_size"]
    step = values["train_batch_size"] * measured.seconds_per_image * height * width / math.prod(measured.crop)
    assert values["baseline_steps"] >= 1
    share = 1.0 if "last_run" in values else 0.31
    assert values["baseline_steps"] * step <= share * hours * HOUR or values["baseline_steps"] == 1
    assert height % 16 == width % 16 == 1


def test_little_time_is_one_training_and_the_plan_says_so():
    step, fixed = 4 * 0.4, 120.0  # seconds; and about the seconds of starts, evaluations and export
    choices = _planned(left=400 * step + fixed)
    assert choices["last_run"].value == "baseline"
    assert "fewer than 500 steps are possible in all" in choices["last_run"].reason
    assert 350 < choices["baseline_steps"].value < 450
    assert too_short(PHOTOS, SLOW, choices, 30.0) == ""
    less = _planned(left=40 * step + fixed)
    assert too_short(PHOTOS, SLOW, less, 30.0).startswith(f"Only about {less['baseline_steps'].value} steps fit")
    assert "would be 20 times" in too_short(PHOTOS, SLOW, less, 30.0)
    assert too_short(FEW, SLOW, _planned(FEW, left=40 * step + fixed), 30.0) == ""  # 23 images have many epochs
    assert "last_run" not in _planned(left=900 * step + fixed)
    for given in ({"baseline_steps": 7}, {"training_number_of_steps": 90}, {"search": True}):
        assert "last_run" not in _planned(left=400 * step + fixed, given=given)


def test_crop_is_bounded_by_the_image_and_by_time_and_memory():
    small = dataclasses.replace(PHOTOS, largest_size=(100, 150))
    assert _values(network_choices(small, {}, has_accelerator=False))["train_crop_size"] == (113, 161)
    assert _values(network_choices(PHOTOS, {}, has_accelerator=False))["train_crop_size"] == (321, 321)
    assert _values(network_choices(PHOTOS, {}, has_accelerator=True))["train_crop_size"] == (369, 481)
    long, short = (_values(_planned(left=hours * HOUR))["train_crop_size"] for hours in (1, 0.08))
    assert long == (321, 321)
    assert 225 <= short[0] < 321
    tight = dataclasses.replace(FAST, memory_per_image=4e9, memory_available=8e9)
    choice = _planned(measured=tight)["train_crop_size"]
    assert choice.value[0] < 513
    assert choice.reason == "for lack of memory"


def test_rates_of_aspp_are_those_that_a_crop_can_train():
    assert _planned()["atrous_rates"].value == "6,12,18"
    short = _planned(left=0.05 * HOUR)
    assert short["train_crop_size"].value == (225, 225)
    assert short["atrous_rates"].value == "4,9,13"
    whole = dataclasses.replace(PHOTOS, largest_size=(129, 129))  # the crop is the image: no other taps are active
    assert time_choices(whole, SLOW, HOUR, {}, (129, 129))["atrous_rates"].value == "6,12,18"
    assert _planned(left=0.05 * HOUR, given={"atrous_rates": "2"})["atrous_rates"].value == "2"


def test_without_a_checkpoint_the_plan_says_so_and_takes_a_small_network():
    choices = network_choices(PHOTOS, {}, has_accelerator=False)
    assert "from scratch" in choices["tf_initial_checkpoint"].reason
    assert choices["depth_multiplier"].value == 0.5
    started = network_choices(PHOTOS, {"tf_initial_checkpoint": "model.ckpt"}, has_accelerator=False)
    assert started["tf_initial_checkpoint"].value == "model.ckpt"
    assert "depth_multiplier" not in started


def test_given_flags_come_first_and_the_plan_says_so():
    given = {
        "train_crop_size": (65, 65),
        "train_batch_size": 2,
        "baseline_steps": 7,
        "search": True,
        "feature_views": 3,
    }
    choices = {**network_choices(PHOTOS, given, False), **_planned(left=0.05 * HOUR, given=given)}
    for name, value in given.items():
        assert choices[name].value == value
        assert choices[name].given
        assert choices[name].reason == "given on the command line"
    assert not choices["base_learning_rate"].given


def test_aspp_is_a_finalist_though_the_given_warm_starts_lack_it():
    choice = _planned(left=48 * HOUR, given={"warm_starts": "psp"})["warm_starts"]
    assert choice.value == "aspp,psp"
    assert "with ASPP added" in choice.reason


def test_what_the_baseline_measured_can_bring_a_search_or_take_it_away():
    slow, quick = (search_choices(PHOTOS, 600.0, step, 15.0, {}, 8)["search"] for step in (5.0, 0.04))
    assert not slow.value
    assert quick.value
    kept = search_choices(PHOTOS, 600.0, 5.0, 15.0, {"search": True}, 8)
    assert kept["search"].given
    assert kept["warm_starts"].value == "aspp,conv1x1"
    assert set(kept) == set(OF_SEARCH)


def test_contest_leaves_time_for_the_training_after_it():
    steps = contest_steps(left=1000, finalists=4, step=1.0, each=20.0, rounds=1, seeds=1, most=10_000)
    spent = 4 * (steps * 1.0 + 20.0)
    assert steps > LEAST_CONTEST_STEPS
    assert 300 < spent < 600
    assert contest_steps(left=1000, finalists=4, step=1.0, each=20.0, rounds=2, seeds=2, most=10_000) < steps


def test_contest_of_no_time_has_a_step_in_each_round():
    assert contest_steps(left=-5, finalists=4, step=1.0, each=20.0, rounds=2, seeds=1, most=100) == 2


def test_what_a_cell_takes_is_not_what_the_compilation_took():
    assert cell_seconds([100.0, 3.0], guessed=5.0) == 6.0
    assert cell_seconds([100.0, 3.0], guessed=9.0) == 9.0  # the 1x1 convolution is cheaper than cells are
    assert cell_seconds([100.0, 3.0, 5.0, 4.0], guessed=9.0) == 5.0
    assert cell_seconds([100.0], guessed=9.0) == 100.0
    assert cell_seconds([], guessed=9.0) == 9.0
    assert guessed_cell_seconds(proxy_steps=200, step=0.75) == pytest.approx(10.0)


def test_half_of_the_finalists_leave_after_the_first_round():
    assert contest_cost(finalists=6, rounds=1, seeds=1) == (1.0, 1.0)
    assert contest_cost(finalists=6, rounds=2, seeds=1) == pytest.approx((0.8, 1.5))
    assert contest_cost(finalists=6, rounds=2, seeds=2) == pytest.approx((1.35, 2.5))
    assert contest_cost(finalists=2, rounds=2, seeds=1) == pytest.approx((1.1, 2.0))


def test_baseline_begins_the_schedule_of_all_its_steps():
    values = _values(_planned())
    assert values["baseline_steps"] < values["schedule_steps"] <= values["most_steps"]
    assert "schedule_steps" not in _planned(left=0.1 * HOUR)  # one training
    assert _values(_planned(given={"training_number_of_steps": 700}))["schedule_steps"] == 700


@pytest.mark.parametrize(("total", "hours"), [(500, 1), (1000, 8), (3, 1), (2, 1)])
def test_a_given_number_of_all_steps_bounds_the_baseline(total, hours):
    choices = _planned(left=hours * HOUR, given={"training_number_of_steps": total})
    assert choices["baseline_steps"].value == total // 2
    assert choices["baseline_steps"].reason.startswith(f"half of the given --training_number_of_steps={total:,}")
    assert choices[SCHEDULE].value == total


def test_several_rounds_are_not_planned_where_their_starts_would_take_the_time():
    quick, slow = (search_choices(PHOTOS, 4 * HOUR, 0.5, each, {}, 8)["contest_rounds"].value for each in (10.0, 900.0))
    assert (quick, slow) == (2, 1)


@pytest.mark.parametrize(
    ("done", "steps", "most", "interval"), [(40, 751, 2, 376), (0, 100, 5, 20), (251, 2343, 4, 586)]
)
def test_evaluations_of_the_last_training_are_spread_over_it(done, steps, most, interval):
    assert evaluation_interval(done, steps, most) == interval
    evaluated = {step for step in range(done + 1, steps + 1) if step % interval == 0} | {steps}
    assert len(evaluated) == most


def test_last_training_goes_on_at_least_a_little():
    assert final_steps(done=100, left=-50, step=1.0, most=1000) == 110
    assert final_steps(done=100, left=400, step=1.0, most=1000) == 500
    assert final_steps(done=100, left=4000, step=1.0, most=1000) == 1000
    assert final_steps(done=100, left=4000, step=1.0, most=50) == 101


@pytest.mark.parametrize("left", [-500.0, -5.0, 0.0, 1.0])
def test_a_plan_without_time_has_a_few_steps(left):
    """The rehearsal alone can take longer than was given."""
    values = _values(_planned(left=left))
    assert values["baseline_steps"] >= 1
    assert values["search"] is False


def test_a_search_has_the_time_of_250_epochs_or_there_is_none():
    """An hour on CamVid at 0.67 s a step has 113 epochs; with a search 42 were left, and 6 points less."""
    choice = search_choices(PHOTOS, 3541.0, 0.67, 30.0, {}, 8)["search"]
    assert choice.value is False
    assert (
        "would have 5,196 steps in all of it, and below 11,469 steps more training gains more than a" in choice.reason
    )
    assert search_choices(PHOTOS, 3 * 3541.0, 0.67, 30.0, {}, 8)["search"].value
    many = dataclasses.replace(PHOTOS, images={"train": 20_000, "val": 2_000})
    assert not search_choices(many, 2 * HOUR, 0.5, 40.0, {}, 16)["search"].value
    assert search_choices(many, 10 * HOUR, 0.5, 40.0, {}, 16)["search"].value  # 30,000 steps are enough


def test_a_contest_has_five_epochs_or_there_is_none():
    choice = search_choices(PHOTOS, 12_000.0, 0.67, 1_000.0, {}, 8)["search"]  # starts of trainings take the time
    assert choice.value is False
    assert "and 230 or more are needed" in choice.reason


def test_without_a_search_the_baseline_is_no_longer_than_it_needs_to_be():
    fast = Measured((321, 321), 0.083, 10.0)
    values = _values(_planned(measured=fast))
    assert not values["search"]
    assert 550 < values["baseline_steps"] < 800  # an eighth of an hour
    slower = _values(_planned(measured=dataclasses.replace(SLOW, seconds_per_image=0.6)))
    assert slower["baseline_steps"] * 4 * 0.6 > 0.25 * HOUR  # 30 %


@pytest.mark.parametrize(
    ("seconds_per_image", "batch", "optimizer", "rate"),
    [  # 1,100, 2,200, 4,400 and 88,000 steps of 8
        (0.4, 4, "adam", 0.001),
        (0.2, 4, "adam", 0.001),
        (0.1, 8, "adam", 0.001),
        (0.005, 16, "momentum", 0.02),
    ],
)
def test_short_trainings_have_small_batches_and_from_a_checkpoint_adam(seconds_per_image, batch, optimizer, rate):
    measured = dataclasses.replace(SLOW, seconds_per_image=seconds_per_image)
    values = _values(_planned(measured=measured, given={"tf_initial_checkpoint": "M"}))
    assert values["train_batch_size"] == batch
    assert values["optimizer"] == optimizer
    assert values["base_learning_rate"] == rate


def test_a_given_learning_rate_is_that_of_momentum_unless_the_optimizer_is_given_too():
    start = {"tf_initial_checkpoint": "M"}
    names = ("optimizer", "base_learning_rate", "baseline_learning_rate")

    def planned(**given):
        values = _values(_planned(given={**start, **given}))
        return tuple(values[name] for name in names)

    assert planned() == ("adam", 0.001, 0.001)
    assert planned(base_learning_rate=0.03) == ("momentum", 0.03, 0.03)
    assert planned(base_learning_rate=0.003, optimizer="adamw") == ("adamw", 0.003, 0.003)
    assert planned(optimizer="momentum") == ("momentum", 0.025, 0.025)


def test_few_images_are_a_short_training_however_long_the_time():
    """23 images have 719 steps of 16 at most."""
    rare = dataclasses.replace(FEW, shares={"sky": 0.981, "pole": 0.019}, weights={"sky": 0.25, "pole": 4.0})
    values = _values(_planned(rare, FAST, 10 * HOUR, {"tf_initial_checkpoint": "M"}))
    assert (values["optimizer"], values["label_weights"]) == ("adam", "0.5,2")
    given = {"tf_initial_checkpoint": "M", "training_number_of_steps": 500}
    assert _values(_planned(PHOTOS, FAST, 10 * HOUR, given))["optimizer"] == "adam"
    assert (
        _values(_planned(PHOTOS, FAST, 10 * HOUR, given | {"training_number_of_steps": 9000}))["optimizer"]
        == "momentum"
    )


def test_short_trainings_have_label_weights_if_a_class_is_rare():
    rare = dataclasses.replace(PHOTOS, shares={"sky": 0.981, "pole": 0.019}, weights={"sky": 0.25, "pole": 4.0})
    choice = _planned(rare)["label_weights"]
    assert choice.value == "0.5,2"
    assert choice.reason.startswith("pole: rare")
    assert _planned(rare, FAST)["label_weights"].value == ""  # a long training: the baseline decides
    assert _planned(rare, given={"label_weights": ""})["label_weights"].value == ""
    assert _planned(PHOTOS)["label_weights"].value == ""


def test_from_scratch_momentum_has_twice_the_rate_in_the_baseline():
    values = _values(_planned())
    assert values["optimizer"] == "momentum"
    assert (values["base_learning_rate"], values["baseline_learning_rate"]) == (0.025, 0.05)
    values = _values(_planned(given={"optimizer": "adam"}))
    assert (values["base_learning_rate"], values["baseline_learning_rate"]) == (0.001, 0.001)


@pytest.mark.parametrize(("seconds_per_image", "share"), [(0.6, 0.3), (0.4, 0.125)])  # 180 and 270 steps at an eighth
def test_baseline_has_the_larger_share_only_if_an_eighth_is_too_few_steps(seconds_per_image, share):
    choices = _planned(measured=dataclasses.replace(SLOW, seconds_per_image=seconds_per_image))
    assert not choices["search"].value
    assert choices["baseline_steps"].reason.startswith(f"{100 * share:g} % of the")
