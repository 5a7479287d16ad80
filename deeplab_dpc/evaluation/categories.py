"""Evaluation by category, a group of classes, as Cityscapes defines it (Cordts et al., arXiv:1604.01685, Sec. 4.2).

A prediction is correct if its class is in the category of the label. Pixels whose label has no category are not
counted, like void in the official evaluation; a prediction without a category is wrong.
"""

from collections.abc import Sequence

import numpy as np


def category_names(categories: Sequence[str]) -> tuple[str, ...]:
    """Returns the distinct categories in the order of their first class; empty text means no category."""
    return tuple(dict.fromkeys(name for name in categories if name))


def category_ids(categories: Sequence[str]) -> np.ndarray:
    """Returns the index of each class's category in `category_names`, int64 [classes]; the number of categories for a
    class without one.
    """
    names = category_names(categories)
    return np.array([names.index(name) if name else len(names) for name in categories], np.int64)
