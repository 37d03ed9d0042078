"""A part that is put in another's place later is the one that runs, decodes, counts and is looked at."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from globalconv.decoding import EncoderDecoderState, LanguageModelState, MixerState, recomputes
from globalconv.errors import InputError
from globalconv.measure.counting import count
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer
from globalconv.models import Classifier, EncoderDecoder, LanguageModel, Stack
from globalconv.models.aligned_conv import AlignedConv
from globalconv.models.block import Block
from globalconv.models.concatenated_encoder_decoder import ConcatenatedEncoderDecoder, crossings
from globalconv.models.cross_mixer import CrossAttention, CrossMixer
from globalconv.models.embedding import PositionEmbedding, SinusoidalPositions

WIDTH, LENGTH, WORDS = 8, 24, 11


class Louder(GlobalConv):
    """A subclass, which is not its parent."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return 3 * super().forward(x, lengths)


class Around(nn.Module):
    """No Mixer, and no cross mixer: a module around one, as adapters are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, *others: Tensor, **named: Tensor) -> Tensor:
        return x - self.inner(x, *others, **named)


def causal(kind: type[Mixer] = GlobalConv) -> Mixer:
    return kind(WIDTH, LENGTH, causal=True)


def hooked() -> Mixer:
    mixer = causal()
    mixer.register_forward_hook(lambda module, given, y: -y)
    return mixer


def with_a_forward_of_its_own() -> Mixer:
    mixer = causal()
    forward = mixer.forward
    mixer.forward = lambda x: 2 * forward(x)
    return mixer


def with_an_adapted_projection() -> Mixer:
    mixer = Attention(WIDTH, LENGTH, causal=True, num_heads=2, positions="learned")
    mixer.project = nn.Sequential(mixer.project, nn.Tanh())
    return mixer


def with_a_hooked_projection() -> Mixer:
    mixer = Attention(WIDTH, LENGTH, causal=True, num_heads=2, positions="learned")
    mixer.project.register_forward_hook(lambda module, given, y: y.tanh())
    return mixer


class Own(GlobalConv):
    """A mixer from outside that brings a state."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return 2 * super().forward(x, lengths)

    def begin(self, *, batch: int, longest: int) -> MixerState:
        state = super().begin(batch=batch, longest=longest)
        state.near, state.skip = 2 * state.near, 2 * state.skip
        state.taps = 2 * state.taps
        return state


class Inherits(Own):
    """Its parent's state is not its own."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return 5 * super().forward(x, lengths)


class OnlyNamed(Own):
    """Nothing in it changes what its parent computes."""

    kind = "named"


def hooked_with_a_state() -> Mixer:
    mixer = causal(Own)
    mixer.register_forward_hook(lambda module, given, y: -y)
    return mixer


REPLACEMENTS = {
    "another": lambda: GlobalConv(WIDTH, LENGTH, causal=True, init="flat"),
    "of another kind": lambda: causal(GatedConv),
    "attention": lambda: causal(Attention),
    "a subclass": lambda: causal(Louder),
    "no mixer": lambda: Around(causal(GatedConv)),
    "a hook": hooked,
    "a forward of its own": with_a_forward_of_its_own,
    "an adapted projection": with_an_adapted_projection,
    "a hooked projection": with_a_hooked_projection,
    "its own state": lambda: causal(Own),
    "a subclass of its own state's class": lambda: causal(Inherits),
    "a subclass without methods": lambda: causal(OnlyNamed),
    "its own state, and a hook": hooked_with_a_state,
}
RECOMPUTED = {
    "a subclass",
    "no mixer",
    "a hook",
    "a forward of its own",
    "a subclass of its own state's class",
    "its own state, and a hook",
}


def language_model() -> LanguageModel:
    return LanguageModel(WORDS, [causal(), causal()], mlp_width=12).double().eval()


def pairs() -> EncoderDecoder:
    return (
        EncoderDecoder(
            WORDS,
            [GlobalConv(WIDTH, LENGTH) for _ in range(2)],
            [causal(), causal()],
            [CrossAttention(WIDTH, LENGTH, num_heads=2), AlignedConv(WIDTH, LENGTH)],
            mlp_width=12,
            positions=True,
        )
        .double()
        .eval()
    )


@torch.no_grad()
def decodes_as_it_computes(model: LanguageModel) -> None:
    tokens = torch.randint(WORDS, (2, 12))
    expected = model(tokens)
    state = LanguageModelState(model, batch=2, longest=12)
    torch.testing.assert_close(state.prefill(tokens[:, :5]), expected[:, 4])
    for t in range(5, 12):
        torch.testing.assert_close(state.step(tokens[:, t]), expected[:, t])


@torch.no_grad()
def answers_as_it_computes(model: EncoderDecoder) -> None:
    source, target, lengths = torch.randint(WORDS, (2, 9)), torch.randint(WORDS, (2, 7)), [9, 4]
    expected = model(source, target, lengths)
    state = EncoderDecoderState(model, source, lengths, longest=7)
    torch.testing.assert_close(state.prefill(target[:, :3]), expected[:, 2])
    state = state.select(torch.tensor([1, 0]))
    for t in range(3, 7):
        torch.testing.assert_close(state.step(target.flip(0)[:, t]), expected.flip(0)[:, t])


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_a_mixer_that_was_put_there_is_the_one_that_decodes(name, seed):
    torch.manual_seed(seed)
    mixer = REPLACEMENTS[name]().double()
    model, both = language_model(), pairs()
    model.stack.blocks[1].mixer = mixer
    both.decoder.blocks[1].mixer = mixer
    assert model.stack.mixers[1] is both.decoder.mixers[1] is both.mixers[3] is mixer
    assert recomputes(mixer) == (name in RECOMPUTED)
    decodes_as_it_computes(model)
    answers_as_it_computes(both)


class Backwards(CrossMixer):
    def forward(self, x: Tensor, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        return x + memory.flip(1)[:, :1]

    def flops(self, length: int) -> float:
        return 1.0 * length * self.width


@pytest.mark.parametrize(
    "cross",
    [
        Backwards(WIDTH, LENGTH),
        AlignedConv(WIDTH, LENGTH),
        Around(CrossAttention(WIDTH, LENGTH, num_heads=2)),
    ],
    ids=["from outside", "of another kind", "no cross mixer"],
)
def test_a_cross_mixer_that_was_put_there_is_the_one_that_is_asked(cross, seed):
    torch.manual_seed(seed)
    model = pairs()
    model.decoder.blocks[0].cross = copy.deepcopy(cross).double()
    assert model.cross_mixers[0] is model.decoder.blocks[0].cross
    answers_as_it_computes(model)


def test_a_block_that_was_put_there_is_the_one_that_decodes(seed):
    torch.manual_seed(seed)

    class Doubled(Block):
        def forward(self, x, *others):
            return 2 * super().forward(x, *others)

    class Opposite(Block):
        def forward(self, x, **others):
            return -super().forward(x, **others)

    model, both = language_model(), pairs()
    model.stack.blocks[0] = Doubled(causal(), mlp_width=12).double()
    both.decoder.blocks[1] = (
        Opposite(
            causal(), AlignedConv(WIDTH, LENGTH), mlp_width=12, activation="gelu", norm="pre", dropout=0.0
        )
        .double()
        .eval()
    )
    decodes_as_it_computes(model)
    answers_as_it_computes(both)


def test_a_stack_with_a_hook_is_computed_as_it_is_called(seed):
    torch.manual_seed(seed)
    model, both = language_model(), pairs()
    for stack in (model.stack, both.decoder):
        stack.register_forward_hook(lambda module, given, y: y.flip(-1))
    decodes_as_it_computes(model)
    answers_as_it_computes(both)


@pytest.mark.parametrize("position", [PositionEmbedding(LENGTH, WIDTH), SinusoidalPositions(), nn.Identity()])
def test_positions_that_were_put_there_are_the_ones_that_count(position, seed):
    torch.manual_seed(seed)
    model = language_model()
    model.position = copy.deepcopy(position).double()
    decodes_as_it_computes(model)


def test_positions_that_cannot_be_known_are_refused():
    model = language_model()
    model.position = nn.Linear(WIDTH, WIDTH)
    with pytest.raises(InputError, match="Linear as positions cannot be computed for a single token"):
        LanguageModelState(model, batch=1, longest=4)


def test_it_is_the_one_that_is_counted():
    gated, plain = ([kind(WIDTH, LENGTH) for _ in range(2)] for kind in (GatedConv, GlobalConv))
    for build in (
        lambda mixers: Stack(mixers, mlp_width=12),
        lambda m: Classifier(3, m, mlp_width=12, channels=2),
    ):
        model, right = build(plain), build(gated)
        blocks = model.blocks if isinstance(model, Stack) else model.stack.blocks
        for block, mixer in zip(blocks, gated, strict=True):
            block.mixer = mixer
        assert model.flops(LENGTH) == right.flops(LENGTH)
        x = torch.randn(2, LENGTH, WIDTH if isinstance(model, Stack) else 2)
        assert count(partial(model, x)).flops == count(partial(right, x)).flops
    both = pairs()
    flops = both.flops(LENGTH)
    both.encoder.blocks[0].mixer = gated[0]
    both.decoder.blocks[0].cross = Backwards(WIDTH, 5)
    removed = GlobalConv(WIDTH, LENGTH).flops(LENGTH) + CrossAttention(WIDTH, LENGTH, num_heads=2).flops(
        LENGTH
    )
    added = gated[0].flops(LENGTH) + Backwards(WIDTH, 5).flops(LENGTH)
    assert both.flops(LENGTH) == pytest.approx(flops + added - removed)
    assert both.length == 5


def test_one_that_takes_no_lengths_is_told_when_there_are_any():
    class Deaf(GlobalConv):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    model, both, tokens = language_model(), pairs(), torch.randint(WORDS, (2, 5))
    model.stack.blocks[0].mixer = causal(Deaf).double()
    both.encoder.blocks[0].mixer = Deaf(WIDTH, LENGTH).double()
    for run in (lambda lengths: model(tokens, lengths), lambda lengths: both(tokens, tokens, lengths)):
        run(None)
        with pytest.raises(InputError, match="Deaf cannot mix rows of different lengths"):
            run([5, 2])


@torch.no_grad()
def test_it_is_the_one_that_is_looked_at(seed):
    torch.manual_seed(seed)
    model = pairs()
    joined = ConcatenatedEncoderDecoder(model, source_length=5)
    source, target = torch.randint(WORDS, (2, 5)), torch.randint(WORDS, (2, 4))
    model.encoder.blocks[1] = copy.deepcopy(model.encoder.blocks[0])
    model.decoder.blocks[0].cross = Backwards(WIDTH, LENGTH)
    x = joined.embedded(source, target)
    torch.testing.assert_close(joined(x)[:, 5:], model(source, target))
    assert crossings(joined, x)[0][0].cross is model.decoder.blocks[0].cross
