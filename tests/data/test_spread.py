"""A few images of a split, evenly spread."""

import pytest

from deeplab_dpc.data.pipeline import evaluation_dataset
from deeplab_dpc.data.spread import spread_images
from deeplab_dpc.errors import UserError


@pytest.mark.parametrize(("number", "chosen"), [(1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_images_are_evenly_spread(shapes, number, chosen):
    everything = list(evaluation_dataset(shapes, "val").as_numpy_iterator())
    found = list(spread_images(shapes, "val", number))
    assert [name for name, _ in found] == [everything[i]["filename"].decode() for i in chosen]
    assert all((image == everything[i]["image"]).all() for (_, image), i in zip(found, chosen, strict=True))


def test_unknown_split_is_refused(shapes):
    with pytest.raises(UserError, match="has no split 'test'"):
        list(spread_images(shapes, "test", 2))
