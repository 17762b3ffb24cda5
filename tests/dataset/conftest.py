"""What the tests of data sets share."""

from collections.abc import Iterator

import pytest

from bfkit.dataset import shards


@pytest.fixture(scope="module", autouse=True)
def small_shards(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shards of as many images as the test's module says, if it says so: few pictures then make several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "IMAGES_A_SHARD", getattr(request.module, "IMAGES_A_SHARD", shards.IMAGES_A_SHARD))
        yield
