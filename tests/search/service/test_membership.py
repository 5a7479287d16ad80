"""What workers of one study must have in common."""

import optuna
import pytest

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service import membership
from deeplab_dpc.search.service.membership import BACKBONE_ALONE, START, extendable, join

EXTENDABLE = ("search.num_candidates",)


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def _join(storage, **flags):
    study_id = {study.study_name: study._study_id for study in storage.get_all_studies()}.get("s")
    if study_id is None:
        study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    join(storage, study_id, "s", {"search": SearchConfig(**flags), "features": "f00"}, EXTENDABLE)
    return storage.get_study_user_attrs(study_id)["config"]


def test_first_worker_writes_what_the_others_must_have(storage):
    written = _join(storage, seed=3)
    assert written["search"]["seed"] == 3
    assert written["features"] == "f00"
    assert _join(storage, seed=3) == written


def test_differences_are_named(storage):
    _join(storage, seed=3)
    message = (
        r"--study_name=s of this storage is a search with another configuration: "
        r"search\.sampler \(was paper, now tpe\), search\.seed \(was 3, now 4\); give the same flags"
    )
    with pytest.raises(UserError, match=message):
        _join(storage, seed=4, sampler="tpe", num_candidates=5)


def test_workers_may_differ_in_what_can_be_extended(storage):
    written = _join(storage, num_candidates=10)
    assert _join(storage, num_candidates=20) == written


def test_of_two_that_begin_at_once_the_one_that_is_overwritten_sees_it(storage, monkeypatch):
    read, answers = membership._stored, []

    def interrupted(storage, study_id):
        answers.append(read(storage, study_id))
        if len(answers) == 1:  # the other also saw none, and writes after this one
            write = storage.set_study_user_attr

            def write_and_be_overwritten(study_id, key, value):
                write(study_id, key, value)
                write(study_id, key, {**value, "search": {**value["search"], "seed": 9}})

            storage.set_study_user_attr = write_and_be_overwritten
        return answers[-1]

    monkeypatch.setattr(membership, "_stored", interrupted)
    with pytest.raises(UserError, match=r"search\.seed \(was 9, now 0\)"):
        _join(storage)


def test_augmentation_belongs_to_a_search_that_trains_on_images():
    cached, on_images = (extendable(SearchConfig(proxy_features=features)) for features in ("cached", "end_to_end"))
    for field in ("data.train_crop_size", "data.max_scale_factor", "data."):
        assert field in cached
        assert field not in on_images
    for field in ("data.data_dir", "search.num_candidates", "search.rerank_top_k"):
        assert field in cached
        assert field in on_images


def test_section_that_an_older_study_lacks_is_not_compared(storage):
    written = _join(storage)
    study_id = storage.get_study_id_from_name("s")
    join(storage, study_id, "s", {"search": SearchConfig(), "features": "f00", "records": {"val": "a"}}, EXTENDABLE)
    assert storage.get_study_user_attrs(study_id)["config"] == written


def test_study_that_trained_on_more_than_the_backbone_of_a_checkpoint_is_not_joined(storage):
    _join(storage)
    study_id = storage.get_study_id_from_name("s")
    sections = {"search": SearchConfig(), "features": "f00", START: BACKBONE_ALONE}
    with pytest.raises(UserError, match=r"starting weights. \(was None, now the backbone alone\)"):
        join(storage, study_id, "s", sections, EXTENDABLE)
