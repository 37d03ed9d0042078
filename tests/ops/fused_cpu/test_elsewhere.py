"""Where the kernels run beside a training loop: loaders' workers, joblib's, and data parallelism."""

import os
import socket

import joblib
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from globalconv import GatedConv
from globalconv.ops import global_conv

FORKED = "fork" in torch.multiprocessing.get_all_start_methods()


def convolved(seed: int) -> Tensor:
    """A signal large enough for two threads, convolved."""
    generator = torch.Generator().manual_seed(seed)
    x, taps = torch.randn(4, 512, 256, generator=generator), torch.randn(256, 512, generator=generator)
    return global_conv(x, taps, mode="causal", backend="fused_cpu")


class Convolved(Dataset[Tensor]):
    """Each item convolved by whoever loads it."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return convolved(index)


@pytest.mark.skipif(not FORKED, reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_in_the_workers_of_a_loader(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        expected = [convolved(seed) for seed in range(4)]  # also: threads that a fork does not take along
        loader = DataLoader(Convolved(), batch_size=None, num_workers=2, timeout=60)
        for item, right in zip(loader, expected, strict=True):
            assert torch.equal(item, right)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_in_the_workers_of_joblib(backend):
    results = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(convolved)(seed) for seed in range(4))
    assert all(torch.equal(got, convolved(seed)) for seed, got in enumerate(results))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def train_a_share(rank: int, port: int, folder: str) -> None:
    """One process of two: half of the batch, and the gradients that all of them agree on."""
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        mixer = torch.nn.parallel.DistributedDataParallel(mixer_of_all())
        mixer(batch_of_all()[2 * rank : 2 * rank + 2]).square().mean().backward()
        torch.save([p.grad for p in mixer.parameters()], os.path.join(folder, f"{rank}.pt"))  # noqa: PTH118
    finally:
        torch.distributed.destroy_process_group()


def mixer_of_all() -> GatedConv:
    torch.manual_seed(1)
    return GatedConv(32, 64, causal=True, backend="fused_cpu")


def batch_of_all() -> Tensor:
    return torch.randn(4, 64, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without torch.distributed")
def test_data_parallel_gradients_are_those_of_the_whole_batch(tmp_path):
    torch.multiprocessing.spawn(train_a_share, args=(free_port(), str(tmp_path)), nprocs=2)
    mixer = mixer_of_all()
    mixer(batch_of_all()).square().mean().backward()
    for rank in (0, 1):
        gradients = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for got, parameter in zip(gradients, mixer.parameters(), strict=True):
            torch.testing.assert_close(got, parameter.grad, rtol=1e-4, atol=1e-6)
