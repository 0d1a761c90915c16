"""Which samples of a batch this process makes, where several train one model together. Alone, a process makes all of them."""

from torch import distributed


def num_ranks() -> int:
    """Processes that train together; 1 where torch.distributed was not started (see `strrn.training.distributed`)."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own_rows(count: int, first: int = 0) -> range:
    """Which of `count` samples are this process's, if the first of them is row `first` of the batch: rows are dealt out one by one."""
    return range((rank() - first) % num_ranks(), count, num_ranks())
