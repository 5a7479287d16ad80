"""Checkpoints of runs: the exact state back, what is done about damaged ones, forks, the best, and finding them."""

import dataclasses
import json
import shutil
import zlib

import keras
import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.run import fork_training, load_weights, read_weights, restore_training, save_checkpoint
from deeplab_dpc.checkpoint.run_best import best_metrics, mend_best, save_best
from deeplab_dpc.checkpoint.run_directory import best_checkpoint, find_checkpoint, list_checkpoints
from deeplab_dpc.checkpoint.run_state import Progress, state_variables
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run

CONFIG = tiny_network(num_classes=7)
FILES = ("weights.npz", "optimizer.npz", "random_states.npz", "progress.json")


def _scaled_adam():
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1))


def _built(optimizer, network):
    optimizer.build(network.trainable_variables)
    return optimizer


def _training(config=CONFIG):
    network = build_segmenter(config)
    return network, _built(keras.optimizers.SGD(0.1, momentum=0.9), network)


def _fill(network, optimizer, seed):
    """Gives every variable values of its own."""
    rng = np.random.default_rng(seed)
    for variables in state_variables(network, optimizer).values():
        for variable in variables.values():
            variable.assign(np.abs(100 * rng.normal(size=variable.shape)).astype(variable.dtype))


def _values(network, optimizer):
    return {
        f"{file}/{name}": np.array(variable)
        for file, variables in state_variables(network, optimizer).items()
        for name, variable in variables.items()
    }


def _assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.fixture(scope="module")
def training():
    """A network with its optimizer; every test gives the variables their values."""
    return _training()


@pytest.fixture(scope="module")
def wider():
    """One with a class more."""
    return _training(dataclasses.replace(CONFIG, num_classes=8))


@pytest.fixture(scope="module")
def written(training, tmp_path_factory):
    """A run directory with checkpoints of steps 2 and 4, and their values by step."""
    workdir = tmp_path_factory.mktemp("written")
    open_run(workdir, {"model": CONFIG})
    values = {}
    for step in (2, 4):
        _fill(*training, seed=step)
        values[step] = _values(*training)
        save_checkpoint(workdir, *training, Progress(step, [{"step": step, "loss": 0.1}], [{"step": step}]))
    return workdir, values


@pytest.fixture
def run(written, tmp_path):
    """A copy of it."""
    workdir, values = written
    return shutil.copytree(workdir, tmp_path / "run"), values


def _file(workdir, step, name):
    return workdir / "checkpoints" / f"step_{step:08d}" / name


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _delete(path):
    path.unlink()


def _zeros(path):
    path.write_bytes(bytes(len(path.read_bytes())))


def test_state_comes_back_bitwise_with_dropout_generators(run, training):
    workdir, values = run
    _fill(*training, seed=0)
    progress = restore_training(workdir, *training)
    assert progress == Progress(4, [{"step": 4, "loss": 0.1}], [{"step": 4}])
    _assert_equal(_values(*training), values[4])
    assert {name for name in values[4] if name.startswith("random_states.npz/")} == {"random_states.npz/0"}


def test_directory_without_checkpoints_restores_nothing(tmp_path, training):
    assert restore_training(tmp_path, *training) is None


def test_last_two_checkpoints_are_kept(run, training):
    workdir, _ = run
    save_checkpoint(workdir, *training, Progress(6))
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["step_00000004", "step_00000006"]


def test_loss_scale_and_the_optimizer_inside_come_back_under_new_names_of_keras(tmp_path, training):
    network, _ = training
    saved = _built(_scaled_adam(), network)
    _fill(network, saved, seed=1)
    save_checkpoint(tmp_path, network, saved, Progress(3))
    restored = _built(_scaled_adam(), network)
    assert saved.inner_optimizer.name != restored.inner_optimizer.name
    restore_training(tmp_path, network, restored)
    for ours, theirs in zip(restored.variables, saved.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=theirs.path)
    names = np.load(_file(tmp_path, 3, "optimizer.npz")).files
    assert {"iteration", "loss_scale/iteration", "loss_scale/dynamic_scale", "loss_scale/step_counter"} <= set(names)


def test_progress_of_an_earlier_version_is_read(run, training):
    workdir, _ = run
    _file(workdir, 4, "progress.json").write_text(json.dumps({"step": 4, "history": [{"step": 4, "loss": 0.5}]}))
    assert restore_training(workdir, *training) == Progress(4, [{"step": 4, "loss": 0.5}], [])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("tear", [_truncate, _flip, _delete, _zeros])
def test_torn_checkpoint_is_set_aside_and_the_one_before_used(tear, name, run, training, capsys):
    workdir, values = run
    tear(_file(workdir, 4, name))
    assert restore_training(workdir, *training).step == 2
    _assert_equal(_values(*training), values[2])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{workdir}/checkpoints/step_00000004 is damaged ({name}")
    assert lines[0].endswith("it is kept as damaged_step_00000004, and not used.")
    assert [checkpoint.step for checkpoint in list_checkpoints(workdir)] == [2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{]", "is not valid JSON"),
        ("[4]", "progress.json: "),
        ('{"step": 4}', "progress.json: 'rows'"),
        ('{"step": 5, "rows": []}', "progress.json is of step 5"),
        ('{"step": 4, "rows": [{"loss": 1}], "validations": [], "crc32": 7}', "does not have its checksum"),
    ],
)
def test_progress_that_was_not_written_so_is_damage(text, reason, run, training, capsys):
    workdir, _ = run
    _file(workdir, 4, "progress.json").write_text(text)
    assert restore_training(workdir, *training).step == 2
    assert reason in capsys.readouterr().out


def test_second_damage_of_a_step_is_kept_beside_the_first(run, training):
    workdir, _ = run
    for _ in range(2):
        _flip(_file(workdir, 4, "weights.npz"))
        assert restore_training(workdir, *training).step == 2
        save_checkpoint(workdir, *training, Progress(4))
    assert len(list((workdir / "checkpoints").glob("damaged_step_00000004*"))) == 2


def test_all_checkpoints_damaged_is_an_error_each_time_and_restores_nothing(run, training):
    workdir, _ = run
    before = _values(*training)
    _flip(_file(workdir, 2, "weights.npz"))
    # The last file that is read.
    _delete(_file(workdir, 4, "progress.json"))
    for _ in range(2):
        with pytest.raises(UserError, match=r"All checkpoints .*: step_00000004 \(progress.*; step_00000002 \(weights"):
            restore_training(workdir, *training)
    _assert_equal(_values(*training), before)


def test_checkpoint_of_another_network_or_optimizer_is_no_damage(run, training, wider):
    workdir, _ = run
    with pytest.raises(UserError, match="does not fit the network of its run: logits/semantic/biases is absent or"):
        restore_training(workdir, *wider)
    before = _values(*training)
    plain = _built(keras.optimizers.SGD(0.1), training[0])
    with pytest.raises(UserError, match=r"optimizer.npz does not fit the training: .*_momentum differs"):
        restore_training(workdir, training[0], plain)
    _assert_equal(_values(*training), before)
    assert [checkpoint.step for checkpoint in list_checkpoints(workdir)] == [2, 4]


@pytest.mark.parametrize("name", ["weights.npz", "optimizer.npz", "random_states.npz"])
def test_file_of_another_step_is_damage(name, run, training, capsys):
    workdir, values = run
    shutil.copy(_file(workdir, 2, name), _file(workdir, 4, name))
    assert restore_training(workdir, *training).step == 2
    _assert_equal(_values(*training), values[2])
    assert f"is damaged ({name}: it is not the file that was written then, by its digest)" in capsys.readouterr().out


def test_weights_of_another_step_are_not_evaluated(run):
    workdir, _ = run
    shutil.copy(_file(workdir, 2, "weights.npz"), _file(workdir, 4, "weights.npz"))
    with pytest.raises(UserError, match=r"step_00000004 is damaged \(weights.npz: it is not the file that was"):
        read_weights(find_checkpoint(workdir, "latest"))


def test_checkpoint_of_another_run_is_set_aside_and_not_evaluated(run, training, capsys):
    """Its own digests are right; only the identity of the run tells."""
    workdir, values = run
    network, optimizer = training
    other = workdir.with_name("other")
    save_checkpoint(other, network, optimizer, Progress(6, []))
    save_best(other, network, 6, {"miou": 0.9})
    for folder in ("checkpoints", "best"):
        shutil.copytree(other / folder / "step_00000006", workdir / folder / "step_00000006")
    for which in ("latest", "best"):
        with pytest.raises(UserError, match=r"step_00000006 is damaged \(it is of another run\)"):
            read_weights(find_checkpoint(workdir, which))
    assert restore_training(workdir, network, optimizer).step == 4
    _assert_equal(_values(network, optimizer), values[4])
    assert "step_00000006 is damaged (it is of another run)" in " ".join(capsys.readouterr().out.split())


def test_checkpoint_of_a_version_without_digests_is_restored(run, training):
    workdir, values = run
    path = _file(workdir, 4, "progress.json")
    stored = json.loads(path.read_text())
    old = {name: stored[name] for name in ("step", "rows", "validations")}
    path.write_text(json.dumps(old | {"crc32": zlib.crc32(json.dumps(old).encode())}))
    assert restore_training(workdir, *training).step == 4
    _assert_equal(_values(*training), values[4])


def test_metrics_of_the_best_that_are_cut_are_written_again_from_the_rows(run, training, capsys):
    workdir, _ = run
    save_best(workdir, training[0], 3, {"miou": 0.25})
    path = best_checkpoint(workdir).path / "metrics.json"
    before = path.read_text()
    _truncate(path)
    rows = [{"step": 2, "miou": 0.1}, {"step": 3, "miou": 0.25}]
    assert best_metrics(workdir, rows) == {"miou": 0.25}
    assert "metrics.json is written again from the row of step 3" in capsys.readouterr().out
    assert path.read_text() == before


def test_best_of_which_nothing_is_known_is_set_aside_once(run, training, capsys):
    workdir, _ = run
    save_best(workdir, training[0], 3, {"miou": 0.25})
    _delete(best_checkpoint(workdir).path / "metrics.json")
    assert best_metrics(workdir, [{"step": 2, "miou": 0.1}]) == {}
    assert "it is kept as damaged_step_00000003, and the next evaluation is the best so far" in capsys.readouterr().out
    assert best_checkpoint(workdir) is None
    assert best_metrics(workdir) == {}


def test_fork_restores_everything_and_leaves_the_source_as_it_is(run, training, capsys):
    workdir, values = run
    _flip(_file(workdir, 4, "optimizer.npz"))
    before = {path: path.read_bytes() for path in sorted(workdir.rglob("*")) if path.is_file()}
    assert fork_training(workdir, *training) == Progress(2, [{"step": 2, "loss": 0.1}], [{"step": 2}], began=2)
    _assert_equal(_values(*training), values[2])
    assert {path: path.read_bytes() for path in sorted(workdir.rglob("*")) if path.is_file()} == before
    assert capsys.readouterr().out.startswith(f"{workdir}/checkpoints/step_00000004 is damaged (optimizer.npz: ")


@pytest.mark.parametrize("make_optimizer", [lambda: keras.optimizers.Adam(0.1), _scaled_adam])
def test_fork_with_another_optimizer_starts_it_fresh_at_the_step(make_optimizer, run, training, capsys):
    workdir, values = run
    network = training[0]
    optimizer = _built(make_optimizer(), network)
    fresh = {name: value for name, value in _values(network, optimizer).items() if name.startswith("optimizer.npz/")}
    fork_training(workdir, network, optimizer)
    assert int(optimizer.iterations) == 4
    expected = {name: value for name, value in values[4].items() if not name.startswith("optimizer.npz/")}
    _assert_equal(_values(network, optimizer), expected | fresh | {"optimizer.npz/iteration": np.array(4)})
    assert f"The optimizer starts fresh at step 4: {workdir} has another one." in capsys.readouterr().out


def test_fork_of_another_network_names_the_option(run, wider):
    workdir, _ = run
    with pytest.raises(UserError, match=r"has another network: .* \(model.num_classes \(was 7, now 8\)\); give the"):
        fork_training(workdir, *wider)


def test_fork_of_another_cell_with_equal_shapes_is_refused(run, training):
    workdir, _ = run
    config = json.loads((workdir / "config.json").read_text())
    config.pop("crc32")
    config["model"]["dense_prediction_cell"] = load_cell("aspp").to_json()  # the weights stay those of the network
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError, match=r"has another network: its weights are of another one \(model.dense_prediction"
    ):
        fork_training(workdir, *training)


def test_fork_needs_a_run_with_a_checkpoint(tmp_path, training):
    with pytest.raises(UserError, match=f"--fork_from={tmp_path} is not a run directory"):
        fork_training(tmp_path, *training)
    open_run(tmp_path, {"model": CONFIG})
    with pytest.raises(UserError, match=f"--fork_from={tmp_path} has no checkpoint to start from"):
        fork_training(tmp_path, *training)


def test_best_replaces_the_best_before(run, training):
    workdir, _ = run
    network, _ = training
    assert best_checkpoint(workdir) is None
    for step in (1, 3, 2):
        _fill(*training, seed=step)
        save_best(workdir, network, step, {"miou": 0.25})
        assert [path.name for path in (workdir / "best").iterdir()] == [f"step_{step:08d}"]
    expected = _values(*training)
    best = best_checkpoint(workdir)
    stored = json.loads((best.path / "metrics.json").read_text())
    assert (stored["step"], stored["metrics"], list(stored["files"])) == (2, {"miou": 0.25}, ["weights.npz"])
    _fill(*training, seed=0)
    load_weights(best, network)
    weights = {name: value for name, value in expected.items() if name.startswith("weights.npz/")}
    _assert_equal({name: value for name, value in _values(*training).items() if name in weights}, weights)


@pytest.mark.parametrize(("which", "place"), [("latest", "checkpoints"), ("2", "checkpoints"), ("3", "best")])
def test_checkpoint_is_found(which, place, run, training):
    workdir, _ = run
    save_best(workdir, training[0], 3, {})
    step = {"latest": 4}.get(which) or int(which)
    assert find_checkpoint(workdir, which).path == workdir / place / f"step_{step:08d}"
    assert find_checkpoint(workdir, "best").step == 3


def test_checkpoint_that_is_not_there_is_named_with_those_that_are(run, training, tmp_path):
    workdir, _ = run
    with pytest.raises(UserError, match="has no checkpoint for --run_checkpoint=best; it holds steps 2 and 4"):
        find_checkpoint(workdir, "best")
    save_best(workdir, training[0], 3, {})
    with pytest.raises(UserError, match="--run_checkpoint=5; it holds steps 2 and 4, and the best of step 3"):
        find_checkpoint(workdir, "5")
    with pytest.raises(UserError, match="--run_checkpoint must be latest, best or a step, got last; it holds"):
        find_checkpoint(workdir, "last")
    with pytest.raises(UserError, match="has no checkpoint yet; train it first"):
        find_checkpoint(tmp_path / "other", "latest")


def test_damaged_checkpoint_that_is_asked_for_is_named_with_what_to_do(run):
    workdir, _ = run
    _flip(_file(workdir, 4, "weights.npz"))
    with pytest.raises(UserError, match=r"step_00000004 is damaged \(weights.npz: .*\); give --run_checkpoint=2,"):
        read_weights(find_checkpoint(workdir, "latest"))


def test_damaged_best_is_named_with_the_steps_that_are_whole_and_set_aside_by_the_training(run, training, capsys):
    workdir, _ = run
    save_best(workdir, training[0], 3, {"miou": 0.25})
    mend_best(workdir, [])
    assert (best_checkpoint(workdir).step, capsys.readouterr().out) == (3, "")
    _flip(_file(workdir, 2, "weights.npz"))
    (best_checkpoint(workdir).path / "weights.npz").write_text("x")
    with pytest.raises(UserError, match=r"best/step_00000003 is damaged .*; give --run_checkpoint=4, which"):
        read_weights(find_checkpoint(workdir, "best"))
    mend_best(workdir, [])
    assert "kept as damaged_step_00000003, and there is no best until the next" in " ".join(
        capsys.readouterr().out.split()
    )
    with pytest.raises(UserError, match="has no checkpoint for --run_checkpoint=best; it holds steps 2 and 4"):
        find_checkpoint(workdir, "best")


def test_absent_archive_is_said_without_numbers_of_the_system(run, training, capsys):
    workdir, _ = run
    _file(workdir, 4, "optimizer.npz").unlink()
    assert restore_training(workdir, *training).step == 2
    assert "(optimizer.npz: No such file or directory)" in " ".join(capsys.readouterr().out.split())
