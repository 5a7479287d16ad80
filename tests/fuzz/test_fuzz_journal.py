"""Damaged journals of a search: the search ends as it would have, is refused, or what is cut off is said."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from mutations import mutated_bytes

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.journal import length_file, open_journal
from deeplab_dpc.search.service.work import Outcome, work_off
from deeplab_dpc.search.study import SearchStudy

CONFIG = SearchConfig(num_candidates=6, num_branches=2, warm_starts=("conv1x1",), lookahead=2, num_best=2, seed=3)
STEPPED = ProxyScore(0.0, 0.5, 0.0, steps=CONFIG.proxy_steps, rungs=((CONFIG.proxy_steps, 0.0),))


class Silent:
    """A watch that has nothing to say."""

    def check(self):
        pass

    def finished(self, task, outcome):
        pass

    def rejected(self, task):
        pass


def _study(path):
    """Of a worker that all later ones see to be gone."""
    here = Worker.current()
    worker = dataclasses.replace(here, started=here.started - 1)
    return SearchStudy(open_journal(path), "search", CONFIG, (24, 31, 320), worker, 600.0)


def _perform(lease):
    lease.check()
    miou = int(Cell.from_json(lease.task.attributes["cell"]).digest(), 16) % 1009 / 1009
    return Outcome([miou], {**STEPPED.to_json(), "miou": miou})


def _ended(path):
    """All that a search says which goes on with that journal."""
    study = _study(path)
    work_off(study.ledger, study.open_tasks, study.is_done, _perform, Silent())
    return [(one.name, one.cell, one.draw, one.score) for one in study.warm_starts() + study.candidates()]


@pytest.fixture(scope="module")
def folder():
    memory = Path("/dev/shm")  # where nobody waits for a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def intact(folder):
    """The lines of a journal of a search that has ended, and what it has found."""
    path = folder / "intact.journal"
    found = _ended(path)
    return path.read_bytes().splitlines(keepends=True), found


def _tried(folder, capsys, data, found, length=None):
    """What becomes of a search whose journal is `data`."""
    path = folder / "study.journal"
    for left in folder.glob("study.journal*"):
        left.unlink()
    path.write_bytes(data)
    if length is not None:
        length_file(path).write_bytes(length)
    capsys.readouterr()
    assert _ended(path) == found
    return "said" if capsys.readouterr().out else "same"


def _length(lines):
    return b"%020d\n" % sum(map(len, lines))


def test_journals_with_changed_bytes(fuzz, folder, intact, capsys):
    lines, found = intact

    def one(rng):
        data = mutated_bytes(rng, b"".join(lines))
        word = _tried(folder, capsys, data, found, _length(lines))
        assert word == "said" or data == b"".join(lines)
        return word

    tally = fuzz("journal, bytes", one)
    assert tally["refused"] > tally["said"] > 0


def _doubled(rng, lines):
    place = int(rng.integers(len(lines)))
    lines.insert(int(rng.integers(len(lines) + 1)) if rng.integers(2) else place, lines[place])


def _left_out(rng, lines):
    del lines[int(rng.integers(len(lines)))]


def _exchanged(rng, lines):
    first, second = rng.choice(len(lines), 2, replace=False)
    lines[first], lines[second] = lines[second], lines[first]


def _cut(rng, lines):
    del lines[int(rng.integers(len(lines))) :]


def test_journals_with_lines_doubled_missing_or_moved(fuzz, folder, intact, capsys):
    lines, found = intact

    def one(rng):
        changed = list(lines)
        (_doubled, _left_out, _exchanged, _cut)[int(rng.integers(4))](rng, changed)
        word = _tried(folder, capsys, b"".join(changed), found, _length(lines))
        assert word == "said"
        return word

    assert fuzz("journal, lines", one)["refused"]


def test_journals_with_a_changed_length(fuzz, folder, intact, capsys):
    lines, found = intact
    fuzz(
        "journal, length",
        lambda rng: _tried(folder, capsys, b"".join(lines), found, mutated_bytes(rng, _length(lines))),
        share=0.25,
    )


def test_journals_of_earlier_versions_never_end_in_another_error(fuzz, folder, intact, capsys):
    """Their lines have no seals, so that a changed digit cannot be told; but none is taken for what it is not."""
    lines, found = intact
    old = [json.loads(line) for line in lines]
    for record in old:
        del record["seal"]
    plain = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in old)
    assert _tried(folder, capsys, plain, found) == "same"

    def one(rng):
        data = mutated_bytes(rng, plain)
        try:
            return _tried(folder, capsys, data, found)
        except AssertionError:
            return "differs"

    fuzz("journal, unsealed", one, share=0.5)


def test_copy_is_kept_of_what_is_cut_off(folder, intact, capsys):
    lines, found = intact
    data = b"".join(lines)[:-3]
    assert _tried(folder, capsys, data, found, _length(lines)) == "said"
    assert (folder / "study.journal.torn1").read_bytes() == data
