"""What tests of the search command share."""

import pytest
from tiny_cache import write_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The directory of a tiny feature cache."""
    path = tmp_path_factory.mktemp("features") / "cache"
    write_cache(path)
    return path
