"""How often a forward pass waits for its device: to read lengths once, however deep the model is."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv
from globalconv.models import Classifier, EncoderDecoder, LanguageModel
from globalconv.models.aligned_conv import AlignedConv
from globalconv.models.cross_mixer import CrossAttention
from globalconv.ops import check_lengths

READ_BY_THE_HOST = {
    "tolist",
    "item",
    "cpu",
    "numpy",
    "nonzero",
    "equal",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
}
WIDTH, LENGTH, WORDS = 8, 6, 7


class Reads(TorchFunctionMode):
    """Notes each call by which the host waits for a tensor's values."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function.__name__ in READ_BY_THE_HOST:
            self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


def reads_of(run: Callable[[], object]) -> list[str]:
    with Reads() as reads:
        run()
    return reads.names


def classifier(depth: int) -> Callable[[], object]:
    mixers = [kind(WIDTH, LENGTH) for kind in (Attention, GlobalConv, GatedConv)] * depth
    model = Classifier(3, mixers, mlp_width=8, vocabulary=WORDS)
    return lambda: model(tokens(), lengths=torch.tensor([6, 2]))


def packed(depth: int) -> Callable[[], object]:
    mixers = [kind(WIDTH, LENGTH, causal=True) for kind in (Attention, GlobalConv, GatedConv)] * depth
    model = LanguageModel(WORDS, mixers, mlp_width=8)
    return lambda: model(tokens().flatten(), offsets=torch.tensor([0, 6, 8, 12]))


def pairs(depth: int) -> Callable[[], object]:
    model = EncoderDecoder(
        WORDS,
        [kind(WIDTH, LENGTH) for kind in (Attention, GlobalConv)] * depth,
        [kind(WIDTH, LENGTH, causal=True) for kind in (Attention, GatedConv)] * depth,
        [CrossAttention(WIDTH, LENGTH), AlignedConv(WIDTH, LENGTH)] * depth,
        mlp_width=8,
    )
    return lambda: model(tokens(), tokens(), lengths=torch.tensor([6, 2]))


def tokens() -> torch.Tensor:
    return torch.randint(WORDS, (2, LENGTH))


@pytest.mark.parametrize("build", [classifier, pairs])
def test_lengths_are_read_once(build):
    for depth in (1, 3):
        assert reads_of(build(depth)) == ["tolist"]


def test_offsets_are_read_once_however_deep_the_model():
    one, three = reads_of(packed(1)), reads_of(packed(3))
    assert one == three
    assert one.count("tolist") == 1


class Suspicious(nn.Module):
    """Checks lengths that it has in a form of its own, as every floor did."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        check_lengths(lengths.clone(), x)
        return x


def test_a_floor_that_checks_again_is_seen():
    model = Classifier(3, [GlobalConv(WIDTH, LENGTH)] * 2, mlp_width=8, vocabulary=WORDS)
    model.stack.blocks[1].mixer = Suspicious()
    assert reads_of(lambda: model(tokens(), lengths=[6, 2])) == ["tolist"] * 2


def test_checked_lengths_pass_and_the_callers_are_read_again():
    x, own = torch.zeros(2, 6), torch.tensor([6, 2])
    passed = check_lengths(own, x)
    assert check_lengths(passed, x) is passed
    with Reads() as reads:  # of other rows they are looked at again, without waiting: their values are known
        assert check_lengths(passed, torch.zeros(2, 7)) is not passed
        with pytest.raises(InputError, match="x is 5 long"):
            check_lengths(passed, torch.zeros(2, 5))
        with pytest.raises(InputError, match="one number for each row"):
            check_lengths(passed, torch.zeros(3, 6))
    assert reads.names == []
    own[1] = 7  # the caller's own tensor has no mark
    with pytest.raises(InputError, match="is 7"):
        check_lengths(own, x)


@torch.no_grad()
def test_a_compiled_block_takes_checked_lengths(seed):
    torch.manual_seed(seed)
    mixers = [Attention(WIDTH, LENGTH), GlobalConv(WIDTH, LENGTH, backend="spectral")]
    model = Classifier(3, mixers, mlp_width=8, vocabulary=WORDS)
    given, lengths = tokens(), torch.tensor([6, 2])
    expected = model(given, lengths)
    for block in model.stack.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(model(given, lengths), expected)
