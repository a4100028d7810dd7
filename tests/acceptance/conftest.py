from collections.abc import Iterator

import pytest
import torch

from tests import children


@pytest.fixture(scope="session")
def nursery() -> Iterator[children.Nursery]:
    with children.nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the nursery, so that numbers are equal to the last bit; and much faster on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
