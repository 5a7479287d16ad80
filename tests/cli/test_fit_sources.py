"""Changes of the user's data after fit has converted them."""

import pytest

from deeplab_dpc.cli.fit_sources import require_unchanged, sources_of
from deeplab_dpc.errors import UserError


@pytest.fixture
def folders(tmp_path):
    for folder in ("photos", "masks/more"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / folder / f"{name}.png").write_bytes(b"xyz")
    return [str(tmp_path / "photos"), str(tmp_path / "masks")]


def test_the_same_files_are_unchanged_also_in_another_place(folders, tmp_path):
    before = sources_of(folders)
    assert before["files"] == 4
    (tmp_path / "other").mkdir()
    moved = [str((tmp_path / name).rename(tmp_path / "other" / name)) for name in ("photos", "masks")]
    require_unchanged(tmp_path, before, sources_of(moved))


def test_added_and_changed_files_are_refused(folders, tmp_path):
    before = sources_of(folders)
    (tmp_path / "photos" / "c.png").write_bytes(b"x")
    with pytest.raises(UserError, match="there were 4 files, now there are 5. Give another --workdir"):
        require_unchanged(tmp_path, before, sources_of(folders))
    (tmp_path / "photos" / "c.png").unlink()
    (tmp_path / "masks" / "more" / "a.png").write_bytes(b"four")
    with pytest.raises(UserError, match="some were renamed or changed"):
        require_unchanged(tmp_path, before, sources_of(folders))


def test_a_list_is_a_file(folders, tmp_path):
    (tmp_path / "pairs.csv").write_text("a,b")
    assert sources_of([str(tmp_path / "pairs.csv")])["files"] == 1


def test_files_that_only_show_that_somebody_looked_do_not_count(folders, tmp_path):
    before = sources_of(folders)
    for name in (".DS_Store", "Thumbs.db", "README.md", "desktop.ini"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    require_unchanged(tmp_path, before, sources_of(folders))


def test_linked_folders_count(folders, tmp_path):
    (tmp_path / "photos").rename(tmp_path / "store")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "train").symlink_to(tmp_path / "store")
    before = sources_of(folders)
    assert before["files"] == 4
    (tmp_path / "store" / "c.png").write_bytes(b"x")
    (tmp_path / "photos" / "broken.png").symlink_to(tmp_path / "absent")
    with pytest.raises(UserError, match="there were 4 files, now there are 5"):
        require_unchanged(tmp_path, before, sources_of(folders))
