"""Deep stacks start sound, and the plain convolution can be trained at the question's own depth."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.mixers import MIXERS, GlobalConv
from globalconv.models import Classifier, LanguageModel, Stack
from tests.mixers.builds import built

VOCABULARY = 8


@pytest.mark.parametrize("depth", [12, 24])
@pytest.mark.parametrize("name", MIXERS)
def test_a_deep_stack_starts_bounded(name, depth, seed):
    torch.manual_seed(seed)
    mixers = [built(name, 32, 16) for _ in range(depth)]
    model = Classifier(4, mixers, mlp_width=64, vocabulary=VOCABULARY)
    spreads: list[float] = []
    for block in model.stack.blocks:
        block.register_forward_hook(lambda _, __, output: spreads.append(float(output.detach().std())))
    logits = model(torch.randint(VOCABULARY, (8, 16)))
    F.cross_entropy(logits, torch.randint(4, (8,))).backward()

    # A block adds two branches, each of a normalised input: the mixer's of size 2 at most, the MLP's small.
    assert all(0.5 < spread < 2 * (block + 2) for block, spread in enumerate(spreads)), spreads
    assert logits.abs().max() < 10
    gradients = [
        float(torch.cat([p.grad.flatten() for p in block.parameters()]).norm())
        for block in model.stack.blocks
    ]
    assert all(1e-4 < gradient < 10 for gradient in gradients), gradients
    assert max(gradients) < 50 * min(gradients), gradients


@pytest.mark.parametrize("depth", [1, 2, 24])
def test_channel_mlps_start_smaller_with_depth(depth):
    """PyTorch draws a layer's weights uniformly up to 1 / sqrt(inputs)."""
    stack = Stack([GlobalConv(8, 4) for _ in range(depth)], mlp_width=100)
    for block in stack.blocks:
        largest = float(block.mlp.contract.weight.detach().abs().max())
        assert 0.9 < largest * 10 * (2 * depth) ** 0.5 <= 1 + 1e-6
        assert 0.9 < float(block.mlp.expand.weight.detach().abs().max()) * 8**0.5 <= 1 + 1e-6


def losses(model: nn.Module, tokens: Tensor, targets: Tensor, *, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    found = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 5)
        loss = F.cross_entropy(model(tokens).flatten(0, -2), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
    return found


def test_causal_convolutions_of_depth_24_learn(seed):
    """Four tokens over and over: from the fifth on the next one can be known."""
    torch.manual_seed(seed)
    sequences = torch.randint(VOCABULARY, (16, 4)).repeat(1, 5)[:, :17]
    model = LanguageModel(VOCABULARY, [GlobalConv(16, 16, causal=True) for _ in range(24)], mlp_width=32)
    found = losses(model, sequences[:, :-1], sequences[:, 1:], steps=40)
    assert sum(found[-5:]) < 0.7 * sum(found[:5]), found


def test_circular_convolutions_of_depth_24_learn(seed):
    """Up or down round the circle: the same tokens either way, so only their order tells."""
    torch.manual_seed(seed)
    rising = torch.randint(2, (16,))
    sequences = (
        torch.randint(VOCABULARY, (16, 1)) + (2 * rising - 1)[:, None] * torch.arange(16)
    ) % VOCABULARY
    model = Classifier(2, [GlobalConv(16, 16) for _ in range(24)], mlp_width=32, vocabulary=VOCABULARY)
    found = losses(model, sequences, rising, steps=40)
    assert sum(found[-5:]) < 0.7 * sum(found[:5]), found
