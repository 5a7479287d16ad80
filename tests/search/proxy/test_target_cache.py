"""The targets beside a feature cache: computed once, whole, and never taken for what they are not."""

import errno
import threading

import numpy as np
import pytest

from deeplab_dpc import locks
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proxy import target_cache
from deeplab_dpc.search.proxy.target_cache import cached_targets
from deeplab_dpc.training.separated_loss import SeparatedLoss, Targets

NAMES = ("label_term", "node_weights", "labelled")


def _loss(**options) -> SeparatedLoss:
    return SeparatedLoss((3, 4), (17, 25), num_classes=3, ignore_label=255, **options)


@pytest.fixture
def labels(rng):
    labels = rng.integers(0, 3, (5, 17, 25)).astype("uint8")
    labels[1, :4] = 255
    return labels


def _folders(path):
    return sorted(folder.name for folder in path.glob("targets_*"))


def _assert_equal(targets: Targets, expected: Targets):
    for name in NAMES:
        np.testing.assert_array_equal(getattr(targets, name), getattr(expected, name))


@pytest.fixture
def counted(monkeypatch):
    """How many images were computed."""
    images = []
    compute = SeparatedLoss.targets
    monkeypatch.setattr(
        SeparatedLoss, "targets", lambda self, labels: (images.extend(labels), compute(self, labels))[1]
    )
    return images


def test_targets_are_those_of_the_loss_and_are_computed_once(tmp_path, labels, counted, monkeypatch):
    monkeypatch.setattr(target_cache, "SLICE", 2)
    first = cached_targets(tmp_path, labels, _loss())
    assert len(counted) == 5
    second = cached_targets(tmp_path, labels, _loss())
    assert len(counted) == 5
    expected = _loss().targets(labels)
    for targets in (first, second):
        _assert_equal(targets, expected)
        assert isinstance(targets.label_term, np.memmap)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == _folders(tmp_path)


def test_what_the_targets_depend_on_has_a_folder_of_its_own(tmp_path, labels):
    for options in ({}, {"nodes": 2}, {"label_weights": (1.0, 2.0, 0.5)}):
        cached_targets(tmp_path, labels, _loss(**options))
    assert len(_folders(tmp_path)) == 3


def test_of_two_workers_one_computes_and_the_other_waits(tmp_path, labels, counted):
    # Locks are of open files, so that threads exclude one another as processes do.
    barrier, found = threading.Barrier(2), []

    def work():
        barrier.wait()
        found.append(cached_targets(tmp_path, labels, _loss()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 5
    _assert_equal(found[0], found[1])


@pytest.mark.parametrize("damage", ["short", "absent", "of fewer images", "one flipped bit", "no checksums"])
def test_damaged_targets_are_named(tmp_path, labels, damage):
    cached_targets(tmp_path, labels, _loss())
    [folder] = tmp_path.glob("targets_*")
    array = folder / "node_weights.npy"
    if damage == "short":
        array.write_bytes(array.read_bytes()[:-100])
    elif damage == "absent":
        array.unlink()
    elif damage == "one flipped bit":
        data = bytearray(array.read_bytes())
        data[-6] ^= 1
        array.write_bytes(data)
    elif damage == "no checksums":
        (folder / "checksums.json").unlink()
    else:
        np.save(array, np.load(array)[:-1])
    with pytest.raises(UserError, match=f"The targets {folder} .*; delete that folder, and they are made anew"):
        cached_targets(tmp_path, labels, _loss())


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS])
def test_targets_of_a_cache_that_cannot_be_written_are_computed_in_memory(
    tmp_path, labels, reason, monkeypatch, capsys
):
    def refuse(*args, **kwargs):
        raise OSError(reason, "Not here")

    monkeypatch.setattr(locks, "open", refuse, raising=False)
    _assert_equal(cached_targets(tmp_path, labels, _loss()), _loss().targets(labels))
    shown = " ".join(capsys.readouterr().out.split())
    assert "(Not here); they are computed in memory." in shown
    assert not list(tmp_path.iterdir())


def test_interrupted_computation_leaves_nothing_behind(tmp_path, labels, monkeypatch):
    labels[4, 0, 0] = 7  # neither a class nor the ignore label
    monkeypatch.setattr(target_cache, "SLICE", 2)
    with pytest.raises(UserError, match="ids 7, which are none of the 3 classes nor the ignore label 255"):
        cached_targets(tmp_path, labels, _loss())
    assert not _folders(tmp_path)
