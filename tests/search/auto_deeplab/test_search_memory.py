"""Exhausted memory is said with the flags that need less."""

import pytest

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.training.device_memory import exhausted_search_memory_named

EXHAUSTED = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345 bytes."


@pytest.mark.parametrize(
    ("options", "less"),
    [
        ({}, "--rematerialize, --supernet_precision=bfloat16, a smaller --search_batch_size, a smaller"),
        ({"rematerialize": True, "supernet_precision": "bfloat16", "search_batch_size": 1}, "a smaller"),
    ],
)
def test_error_of_a_backend_names_what_needs_less(options, less):
    config = AutoDeepLabConfig(**options)
    message = f"image.s. of 321 x 353, or of the evaluated size; options that need less: {less} --train_crop_size"
    with pytest.raises(UserError, match=message), exhausted_search_memory_named(config, (321, 353)):
        raise RuntimeError(EXHAUSTED)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="another"), exhausted_search_memory_named(AutoDeepLabConfig(), (33, 33)):
        raise RuntimeError("another")
