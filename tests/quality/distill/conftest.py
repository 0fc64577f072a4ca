import pytest


@pytest.fixture(autouse=True)
def _one_thread():
    """Models this small lose more to waiting for threads than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
