"""Which rule from images' names to labels' is seen, and that none is invented."""

import pytest

from deeplab_dpc.datasets.naming import Naming, find_naming
from deeplab_dpc.errors import UserError


@pytest.mark.parametrize(
    ("images", "labels", "naming"),
    [
        (["a", "b"], ["a", "b"], Naming()),
        (["a", "b", "c"], ["a", "b_mask"], Naming()),  # one is called alike
        (["a", "b"], ["a_mask", "b_mask"], Naming(after="_mask")),
        (["im1", "im10"], ["im1_mask", "im10_mask"], Naming(after="_mask")),
        (["a", "b"], ["mask_a", "mask_b"], Naming(before="mask_")),
        (["a", "b"], ["a.mask", "b.mask"], Naming(after=".mask")),
        (["a", "b"], ["amask", "bmask"], Naming(after="mask")),
        (["x/a", "y/a"], ["x/a_gt", "y/a_gt"], Naming(after="_gt")),
        (["1_leftImg8bit", "2_leftImg8bit"], ["1_gt_ids", "2_gt_ids"], Naming("_leftImg8bit", "", "_gt_ids")),
        (["a_sat", "b_sat"], ["a_sat_mask", "b_sat_mask"], Naming(after="_mask")),
        (["a", "b"], ["u", "v"], Naming()),
        (["a"], ["banana"], Naming()),
        (["im1", "im2"], ["im1_7", "im2_7"], Naming()),  # a number is not an addition
        (["a", "b", "c"], ["a_mask", "b_mask"], Naming(after="_mask")),  # c is to be named as missing
        (["a", "b", "a_mask", "b_mask"], ["a", "b", "a_mask", "b_mask"], Naming(after="_mask")),  # together in a folder
        (["a", "b"], ["b", "a"], Naming()),
    ],
)
def test_rule(images, labels, naming):
    assert find_naming(images, labels, "labels") == naming


def test_two_rules_that_fit_are_both_named():
    with pytest.raises(UserError, match="in labels may be those called NAME_color or those called NAME_ids; .* --list"):
        find_naming(["a", "b"], ["a_ids", "b_ids", "a_color", "b_color"], "labels")


def test_key_of_a_label_keeps_the_folder():
    assert Naming("_sat", "m_", "_x").label_key("q/1_sat") == "q/m_1_x"
