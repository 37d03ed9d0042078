"""The cost of an encoder-decoder: what two stacks and the cross mixers between them take."""

from torch import nn

from globalconv.cost import layers
from globalconv.cost.cross import cross_cost
from globalconv.cost.ledger import Ledger
from globalconv.cost.mixers import FLOAT32, Cost, mixer_cost
from globalconv.models import EncoderDecoder


def encoder_decoder_cost(model: EncoderDecoder, *, batch: int, itemsize: int = FLOAT32) -> Cost:
    """The cost of ``model`` on ``batch`` sources and targets of its mixers' nominal length, none padded.

    Dropout is off (or 0). Not in it: the sinusoids themselves, L D numbers that are made anew in each call for source
    and target; only that they are added. Exact where ``mixer_cost`` is; raises InputError as it does.
    """
    forward, backward = Ledger(itemsize), Ledger(itemsize)
    length, width, vocabulary = model.length, model.width, model.embed.num_embeddings
    rows = batch * length
    n, depth = rows * width, len(model.cross_mixers)
    kept = sum(_embedding(forward, backward, model, rows) for _ in ("source", "target"))

    branches = [
        *(mixer_cost(mixer, batch=batch, itemsize=itemsize) for mixer in model.mixers),
        *(cross_cost(cross, batch=batch, itemsize=itemsize) for cross in model.cross_mixers),
        *(_channel_mlp(model, rows, itemsize) for _ in model.mixers),
    ]
    kept += sum(_sublayer(forward, backward, branch, rows, width) for branch in branches)
    # All decoder blocks read one memory: it is kept once, and has one gradient.
    kept -= itemsize * (depth - 1) * n
    for _ in range(depth - 1):
        layers.add(backward, n)

    for norm in (model.encoder.norm, model.decoder.norm):
        if isinstance(norm, nn.LayerNorm):
            layers.layer_norm(forward, rows, width)
            layers.layer_norm_backward(backward, rows, width)
            kept += itemsize * layers.layer_norm_kept(rows, width)
    layers.linear(forward, rows, width, vocabulary, bias=False)
    layers.linear_backward(backward, rows, width, vocabulary, bias=False)
    kept += itemsize * n
    for _ in range(2):  # the table's three uses
        layers.add(backward, vocabulary * width)
    return Cost(forward, backward, kept, sum(parameter.numel() for parameter in model.parameters()))


def _embedding(forward: Ledger, backward: Ledger, model: EncoderDecoder, rows: int) -> int:
    """Scaled embeddings of one side, and their positions; bytes kept."""
    width, n = model.width, rows * model.width
    layers.embedding(forward, rows, width)
    forward.pointwise("scale", (n,), n)
    backward.pointwise("scale", (n,), n)
    layers.embedding_backward(backward, rows, width, vocabulary=model.embed.num_embeddings)
    if not isinstance(model.position, nn.Identity):
        forward.pointwise("positions", (n, model.length * width), n)
    return layers.INDEX_BYTES * rows


def _sublayer(forward: Ledger, backward: Ledger, branch: Cost, rows: int, width: int) -> int:
    """A branch with its norm, before it or behind, and its residual sum; bytes kept."""
    layers.layer_norm(forward, rows, width)
    forward.operations += branch.forward.operations
    layers.add(forward, rows * width)
    layers.layer_norm_backward(backward, rows, width)
    backward.operations += branch.backward.operations
    layers.add(backward, rows * width)  # the branch's gradient meets the stream's
    return branch.activations + forward.itemsize * layers.layer_norm_kept(rows, width)


def _channel_mlp(model: EncoderDecoder, rows: int, itemsize: int) -> Cost:
    forward, backward = Ledger(itemsize), Ledger(itemsize)
    sizes, activation = (rows, model.width, model.encoder.mlp_width), model.encoder.activation
    layers.channel_mlp(forward, *sizes, activation)
    layers.channel_mlp_backward(backward, *sizes, activation)
    kept = itemsize * layers.channel_mlp_kept(*sizes, activation)
    return Cost(forward, backward, kept, parameters=0)  # they are counted with the model's
