"""The cost of whole models: blocks over depth, and what is before and behind them."""

from torch import nn

from globalconv.cost import layers
from globalconv.cost.encoder_decoder import encoder_decoder_cost
from globalconv.cost.ledger import Ledger
from globalconv.cost.mixers import FLOAT32, Cost, mixer_cost
from globalconv.models import Classifier, EncoderDecoder, LanguageModel, Stack


def model_cost(
    model: Stack | Classifier | LanguageModel | EncoderDecoder, *, batch: int, itemsize: int = FLOAT32
) -> Cost:
    """The cost of a model on ``batch`` sequences of its mixers' nominal length, forward and backward.

    Backward to all parameters, and to the input where it is values and not tokens. Exact where
    ``mixer_cost`` is; raises InputError as it does. Of an encoder-decoder see ``encoder_decoder_cost``.
    """
    if isinstance(model, EncoderDecoder):
        return encoder_decoder_cost(model, batch=batch, itemsize=itemsize)
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
        layers.channel_mlp(forward, rows, width, hidden, "gelu")
        layers.add(forward, n)

        layers.layer_norm_backward(backward, rows, width)
        backward.operations += of_mixer.backward.operations
        layers.layer_norm_backward(backward, rows, width)
        layers.channel_mlp_backward(backward, rows, width, hidden, "gelu")
        for _ in range(2):  # the branch's gradient meets the stream's
            layers.add(backward, n)

        of_block = 2 * layers.layer_norm_kept(rows, width)
        of_block += layers.channel_mlp_kept(rows, width, hidden, "gelu")
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
        layers.embedding(forward, rows, width)
        layers.embedding_backward(backward, rows, width, vocabulary=model.embed.num_embeddings)
        kept = layers.INDEX_BYTES * rows
    if not isinstance(model.position, nn.Identity):
        forward.pointwise("positions", (n, length * width), n)
        backward.add("positions, backward", (n,), (length * width,))
        backward.copy("positions, backward: rows", length * width)
    return kept
