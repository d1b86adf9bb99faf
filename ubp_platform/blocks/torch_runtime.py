"""How torch runs: device, precision, threads and random numbers; state dicts as arrays."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from ubp_platform.blocks.state_arrays import Arrays


def device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device_type: str) -> torch.autocast:
    """Compute in bfloat16 on a GPU."""
    return torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda")


#: With fewer rows, products of matrices go another way on CPUs and round differently.
LEAST_ROWS = 16


def padded(rows: Tensor, least: int = LEAST_ROWS) -> Tensor:
    """Append zeros to have ``least`` rows.

    So what a network computes of a row does not depend on how many others there are: a client who
    is encoded alone gets the same bits as among all. On a GPU any other number of rows may be
    multiplied in another way, so there it is always the same number.
    """
    missing = least - len(rows)
    return rows if missing <= 0 else torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Limit torch to a number of CPU threads; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _one_order() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            # Attention's backward pass has no other algorithm; it has given equal bits so far.
            warnings.filterwarnings("ignore", ".*non-deterministic algorithm")
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random generators, and restore their states afterwards.

    Meanwhile a GPU adds in one order, so that the same seed gives the same fit there, too.
    """
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda), _one_order() if cuda else nullcontext():
        # `torch.manual_seed` would keep a stack trace for each kind of device that is absent.
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def random_states() -> Arrays:
    """Return the states of torch's random generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return {name: state.numpy() for name, state in states.items()}


def set_random_states(states: Arrays) -> None:
    """Restore the generators' states; that of a GPU where there is one."""
    torch.set_rng_state(torch.from_numpy(states["cpu"]))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(states["cuda"]))


def weight_arrays(module: nn.Module) -> Arrays:
    """Return a module's state dict as arrays, which on the CPU share its memory."""
    return {name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()}


def load_weight_arrays(module: nn.Module, arrays: Arrays) -> None:
    """Load a state dict that :func:`weight_arrays` returned."""
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
