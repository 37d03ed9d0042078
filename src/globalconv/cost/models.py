"""The cost of whole models: blocks over depth, and what is before and behind them."""

import torch
from torch import nn

from globalconv.cost import layers
from globalconv.cost.ledger import Ledger
from globalconv.cost.mixers import FLOAT32, Cost, mixer_cost
from globalconv.models import Classifier, LanguageModel, Stack

INDEX_BYTES = torch.int64.itemsize


def model_cost(model: Stack | Classifier | LanguageModel, *, batch: int, itemsize: int = FLOAT32) -> Cost:
    """The cost of a model on ``batch`` sequences of its mixers' nominal length, forward and backward.

    Backward to all parameters, and to the input where it is values and not tokens. Exact where
    ``mixer_cost`` is; raises InputError as it does.
    """
    stack = model if isinstance(model, Stack) else model.stack
    length, width = stack.mixers[0].length, stack.width
    rows, n = batch * length, batch * length * width
    forward, backward = Ledger(itemsize), Ledger(itemsize)
    kept = _before(forward, backward, model, batch) if not isinstance(model, Stack) else 0
    kept += _stack(forward, backward, stack, batch)
    if isinstance(model, Classifier):
        classes = model.head.out_features
        forward.add("mean", (n,), (batch * width,))
        layers.linear(forward, batch, width, classes)
        layers.linear_backward(backward, batch, width, classes)
        backward.add("mean, backward", (batch * width,), (n,))
        kept += itemsize * batch * width
    elif isinstance(model, LanguageModel):
        layers.linear(forward, rows, width, model.head.out_features)
        layers.linear_backward(backward, rows, width, model.head.out_features)
        kept += itemsize * n
    return Cost(forward, backward, kept, sum(parameter.numel() for parameter in model.parameters()))


def _stack(forward: Ledger, backward: Ledger, stack: Stack, batch: int) -> int:
    """Bytes kept; the operations go into the ledgers, those of the backward pass in the forward's order."""
    width, hidden = stack.width, stack.mlp_width
    rows = batch * stack.mixers[0].length
    n, kept = rows * width, 0
    for mixer in stack.mixers:
        of_mixer = mixer_cost(mixer, batch=batch, itemsize=forward.itemsize)
        layers.layer_norm(forward, rows, width)
        forward.operations += of_mixer.forward.operations
        layers.add(forward, n)
        layers.layer_norm(forward, rows, width)
        layers.linear(forward, rows, width, hidden)
        layers.gelu(forward, rows * hidden)
        layers.linear(forward, rows, hidden, width)
        layers.add(forward, n)

        layers.layer_norm_backward(backward, rows, width)
        backward.operations += of_mixer.backward.operations
        layers.layer_norm_backward(backward, rows, width)
        layers.linear_backward(backward, rows, width, hidden)
        layers.gelu_backward(backward, rows * hidden)
        layers.linear_backward(backward, rows, hidden, width)
        for _ in range(2):  # the branch's gradient meets the stream's
            layers.add(backward, n)

        of_block = 2 * layers.layer_norm_kept(rows, width) + n + 2 * rows * hidden
        kept += of_mixer.activations + forward.itemsize * of_block
    layers.layer_norm(forward, rows, width)
    layers.layer_norm_backward(backward, rows, width)
    return kept + forward.itemsize * layers.layer_norm_kept(rows, width)


def _before(forward: Ledger, backward: Ledger, model: Classifier | LanguageModel, batch: int) -> int:
    """Embedding and positions; bytes kept."""
    length, width = model.stack.mixers[0].length, model.stack.width
    rows, n = batch * length, batch * length * width
    if isinstance(model.embed, nn.Linear):
        channels = model.embed.in_features
        layers.linear(forward, rows, channels, width)
        layers.linear_backward(backward, rows, channels, width)
        kept = forward.itemsize * rows * channels
    else:
        assert isinstance(model.embed, nn.Embedding)
        tokens = rows * INDEX_BYTES // forward.itemsize  # as many numbers as fill their bytes
        forward.add("embedding", (tokens, n), (n,))
        backward.add("embedding, backward", (tokens, n), (model.embed.weight.numel(),))
        kept = INDEX_BYTES * rows
    if not isinstance(model.position, nn.Identity):
        forward.pointwise("positions", (n, length * width), n)
        backward.add("positions, backward", (n,), (length * width,))
        backward.copy("positions, backward: rows", length * width)
    return kept
