from collections.abc import Iterator

import pytest

from tests import children


@pytest.fixture(scope="session")
def nursery() -> Iterator[children.Nursery]:
    with children.nursery() as nursery:
        yield nursery
