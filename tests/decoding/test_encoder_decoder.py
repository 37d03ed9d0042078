"""An encoder-decoder, token by token: the logits of the parallel pass, and what is searched with them."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from globalconv.decoding import EncoderDecoderState, beam_search, begin, decode, next_token
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv
from globalconv.models.aligned_conv import AlignedConv, AlignedConvState
from globalconv.models.block import BlockState
from globalconv.models.cross_mixer import CrossAttention, CrossAttentionState, CrossMixer
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.states import MemoryRows
from globalconv.states.online import BLOCK
from tests.decoding.catalogue import drawn, worst_error

VOCABULARY, WIDTH = 7, 4
START, END, PADDING = 1, 2, 0
ENDS = {"end": END, "padding": PADDING}
ROUNDING = {torch.float64: 1e-9, torch.float32: 2e-3}
"""Relative; norms blow rounding up, where a token has nearly equal channels."""
DECODERS = [
    ("attention, rotary",),
    ("attention, none", "attention, sinusoidal"),
    ("global_conv",),
    ("gated_conv",),
    ("gated_conv", "attention, rotary"),
    ("attention, none", "global_conv"),
]
CROSSES = ("attention", "rotary", "aligned_conv")
seeds = st.integers(0, 2**31 - 9)


def cross_of(name: str, length: int) -> CrossMixer:
    if name == "aligned_conv":
        return AlignedConv(WIDTH, length)
    return CrossAttention(WIDTH, length, num_heads=2, rotary=name == "rotary")


def model_of(
    decoders=("attention, none",),
    cross: str = "attention",
    *,
    length: int,
    seed: int,
    norm: str = "post",
    positions: bool = True,
) -> EncoderDecoder:
    """In float64, every weight of the decoder drawn, with dropout that would be seen."""
    mixers = [drawn(name, length, seed=seed + number) for number, name in enumerate(decoders)]
    model = EncoderDecoder(
        VOCABULARY,
        [GlobalConv(WIDTH, length), Attention(WIDTH, length, num_heads=2)],
        mixers,
        [cross_of(cross, length) for _ in mixers],
        mlp_width=6,
        norm=norm,
        positions=positions,
        dropout=0.5,
    )
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model.double().eval()


def symbols(batch: int, length: int) -> Tensor:
    return torch.randint(3, VOCABULARY, (batch, length))


def begun(model: EncoderDecoder, source: Tensor, lengths: Tensor | None = None, *, limit: int):
    """The first logits, and the state after START."""
    state = EncoderDecoderState(model, source, lengths, longest=limit)
    return state.step(torch.full_like(source[:, 0], START)), state


@torch.no_grad()
def largest_error(
    model: EncoderDecoder, source: Tensor, target: Tensor, lengths: Tensor | None, *, prompt: int, rows
) -> float:
    """Read ``prompt`` tokens at once (0: none) and the others one by one, the second half of them by ``rows``."""
    expected = model(source, target, lengths)
    state = EncoderDecoderState(model, source, lengths, longest=target.shape[1])
    half = (prompt + target.shape[1]) // 2
    errors = []
    if prompt:
        errors.append(worst_error(state.prefill(target[:, :prompt]), expected[:, prompt - 1]))
    for t in range(prompt, half):
        errors.append(worst_error(state.step(target[:, t]), expected[:, t]))
    chosen, rows = state.select(torch.tensor(rows)), torch.tensor(rows)
    for t in range(half, target.shape[1]):
        # In turns: neither may write where the other reads.
        errors.append(worst_error(chosen.step(target[rows, t]), expected[rows, t]))
        errors.append(worst_error(state.step(target[:, t]), expected[:, t]))
    assert chosen.count == state.count == target.shape[1]
    return max(errors)


@given(
    st.sampled_from(DECODERS),
    st.sampled_from(CROSSES),
    st.sampled_from(["pre", "post"]),
    st.booleans(),
    st.data(),
    seeds,
)
@settings(max_examples=60)
def test_incremental_is_parallel_at_every_step(decoders, cross, norm, positions, data, seed):
    lengths = data.draw(st.one_of(st.none(), st.lists(st.integers(1, 12), min_size=3, max_size=3)))
    longest = max(lengths) if lengths else data.draw(st.integers(1, 12))
    written = data.draw(st.one_of(st.integers(1, 12), st.integers(BLOCK - 1, BLOCK + 5)))
    prompt = data.draw(st.integers(0, written))
    rows = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=5))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    model = model_of(decoders, cross, length=80, seed=seed, norm=norm, positions=positions).to(dtype)
    source, target = symbols(3, longest), symbols(3, written)
    given_lengths = None if lengths is None else torch.tensor(lengths)
    error = largest_error(model, source, target, given_lengths, prompt=prompt, rows=rows)
    assert error < ROUNDING[dtype]


@pytest.mark.parametrize("cross", ["attention", "rotary"])
def test_beyond_the_nominal_length(cross, seed):
    model = model_of(("attention, rotary", "global_conv"), cross, length=5, seed=seed)
    error = largest_error(model, symbols(2, 9), symbols(2, 12), None, prompt=2, rows=[1, 0])
    assert error < ROUNDING[torch.float64]


def seen_error(decoders, cross, *, norm="pre", rows=(2, 0, 0)) -> float:
    model = model_of(decoders, cross, length=12, seed=0, norm=norm)
    return largest_error(
        model, symbols(3, 9), symbols(3, 12), torch.tensor([9, 4, 2]), prompt=3, rows=list(rows)
    )


def honest(decoders=("attention, none",), cross="attention", **options) -> None:
    assert seen_error(decoders, cross, **options) < ROUNDING[torch.float64]


def mutated(decoders=("attention, none",), cross="attention", **options) -> None:
    assert seen_error(decoders, cross, **options) > 1e-3


@pytest.mark.parametrize("off", [-1, 1])
def test_a_position_off_by_one_is_seen(monkeypatch, off):
    honest()
    embedded = EncoderDecoderState._embedded

    def shifted(self, tokens, places):
        if isinstance(places, slice):
            return embedded(self, tokens, places)
        return embedded(self, tokens, (places + off) % self.longest)

    monkeypatch.setattr(EncoderDecoderState, "_embedded", shifted)
    mutated()


@pytest.mark.parametrize("moved", [lambda first: 0, lambda first: first + 1])
def test_a_query_turned_to_another_place_is_seen(monkeypatch, moved):
    honest(cross="rotary")
    look = CrossAttention.look

    def turned(self, x, *memory, first=0):
        return look(self, x, *memory, first=moved(first) if first else 0)

    monkeypatch.setattr(CrossAttention, "look", turned)
    mutated(cross="rotary")


def test_keys_that_are_not_masked_are_seen(monkeypatch):
    made = CrossAttentionState.__init__
    monkeypatch.setattr(
        CrossAttentionState,
        "__init__",
        lambda self, cross, memory, lengths, *, longest: made(self, cross, memory, None, longest=longest),
    )
    mutated()


def test_a_source_read_with_its_padding_is_seen(monkeypatch):
    encode = EncoderDecoder.encode
    model = model_of(length=12, seed=0)
    source, target, lengths = symbols(3, 9), symbols(3, 5), torch.tensor([9, 4, 2])
    with torch.no_grad():
        expected = model(source, target, lengths)[:, 0]
        monkeypatch.setattr(EncoderDecoder, "encode", lambda self, source, lengths: encode(self, source))
        found = EncoderDecoderState(model, source, lengths, longest=5).step(target[:, 0])
    assert worst_error(found, expected) > 1e-3


@pytest.mark.parametrize("cross", ["attention", "aligned_conv"])
def test_a_selection_that_forgets_the_memory_is_seen(monkeypatch, cross):
    honest(cross=cross)
    monkeypatch.setattr(MemoryRows, "select", lambda self, rows: self)
    mutated(cross=cross)


def test_a_selection_that_forgets_the_mask_is_seen(monkeypatch):
    select = MemoryRows.select

    def maskless(self, rows):
        chosen = select(self, rows)
        chosen.tensors = (*chosen.tensors[:2], self.tensors[2][: len(rows)])
        return chosen

    monkeypatch.setattr(MemoryRows, "select", maskless)
    mutated()


@pytest.mark.parametrize("part", ["mixer", "cross"])
def test_a_selection_that_leaves_a_part_behind_is_seen(monkeypatch, part):
    keep = BlockState._keep

    def half(self, rows):
        whole = getattr(self, part)
        keep(self, rows)
        setattr(self, part, whole.select(torch.arange(3)))

    monkeypatch.setattr(BlockState, "_keep", half)
    mutated()


def test_a_selection_that_takes_every_source_for_the_first_is_seen(monkeypatch):
    """The memory is left where it is when rows move among those of one source; a state must know when."""
    rows = (1, 0, 2)
    honest(rows=rows)
    made = CrossAttentionState.__init__

    def made_of_one(self, *args, **options):
        made(self, *args, **options)
        self.memory.source.zero_()

    monkeypatch.setattr(CrossAttentionState, "__init__", made_of_one)
    mutated(rows=rows)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_convolved_memory_read_at_another_place_is_seen(monkeypatch, off):
    honest(cross="aligned_conv")
    made = AlignedConvState.__init__

    def shifted(self, *args, **options):
        made(self, *args, **options)
        self.memory.tensors = (self.memory.tensors[0].roll(off, 1),)

    monkeypatch.setattr(AlignedConvState, "__init__", shifted)
    mutated(cross="aligned_conv")


class Averaging(CrossMixer):
    """From outside: the mean of the real memory, and the target's tokens so far added up."""

    def forward(self, x: Tensor, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            return x.cumsum(1) + memory.mean(1, keepdim=True)
        real = (torch.arange(memory.shape[1]) < lengths[:, None])[..., None]
        return x.cumsum(1) + torch.where(real, memory, 0).sum(1, keepdim=True) / lengths[:, None, None]

    def flops(self, length: int) -> float:
        return 2.0 * length * self.width


@pytest.mark.parametrize("cross", CROSSES)
@torch.no_grad()
def test_what_stands_behind_a_memory_reaches_no_step(cross, seed):
    torch.manual_seed(seed)
    mixer, lengths = cross_of(cross, 12).double(), torch.tensor([9, 4, 2])
    memory, x = torch.randn(3, 9, WIDTH).double(), torch.randn(3, 5, WIDTH).double()
    spoiled = memory.masked_fill((torch.arange(9) >= lengths[:, None])[..., None], torch.nan)
    state = begin(mixer, batch=3, longest=12, memory=spoiled, lengths=lengths)
    steps = torch.stack([state.step(token) for token in x.unbind(1)], dim=1)
    torch.testing.assert_close(steps, mixer(x, memory, lengths), rtol=0, atol=ROUNDING[torch.float64])


class Negated(CrossAttention):
    """A subclass that computes something else than its parent."""

    def forward(self, x: Tensor, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        return -super().forward(x, memory, lengths)


@pytest.mark.parametrize("kind", [Averaging, Negated])
@pytest.mark.parametrize("padded", [False, True])
def test_cross_mixers_from_outside_are_exact(kind, padded, seed):
    torch.manual_seed(seed)
    cross = [kind(WIDTH, 12)]
    model = EncoderDecoder(
        VOCABULARY, [GlobalConv(WIDTH, 12)], [GatedConv(WIDTH, 12, causal=True)], cross, mlp_width=6
    )
    model = model.double().eval()
    lengths = torch.tensor([9, 4, 2]) if padded else None
    error = largest_error(model, symbols(3, 9), symbols(3, 12), lengths, prompt=2, rows=[2, 0, 0, 1])
    assert error < ROUNDING[torch.float64]


@pytest.mark.parametrize("decoders", DECODERS)
@pytest.mark.parametrize("cross", CROSSES)
@torch.no_grad()
def test_greedy_is_the_parallel_pass_asked_again_and_again(decoders, cross, seed):
    model = model_of(decoders, cross, length=20, seed=seed)
    source, lengths = symbols(8, 6), torch.tensor([6, 5, 4, 3, 2, 1, 6, 6])
    found = decode(next_token, *begun(model, source, lengths, limit=20), limit=20, **ENDS)
    target = torch.full((8, 1), START)
    for _ in range(20):
        target = torch.cat([target, model(source, target, lengths)[:, -1:].argmax(-1)], dim=1)
    for row, said in enumerate(target[:, 1:].tolist()):
        said = said[: said.index(END) + 1] if END in said else said
        assert found[row].tolist() == [*said, *[PADDING] * (found.shape[1] - len(said))]


@pytest.mark.parametrize("search", [decode, beam_search])
@pytest.mark.parametrize("cross", CROSSES)
def test_rows_of_different_lengths_are_decoded_as_if_alone(search, cross, seed):
    model = model_of(("gated_conv", "attention, rotary"), cross, length=12, seed=seed)
    source, lengths = symbols(4, 8), torch.tensor([8, 3, 1, 5])
    together = search(next_token, *begun(model, source, lengths, limit=12), limit=12, **ENDS)
    for row, n in enumerate(lengths.tolist()):
        (alone,) = search(next_token, *begun(model, source[row : row + 1, :n], limit=12), limit=12, **ENDS)
        assert torch.equal(together[row, : len(alone)], alone)
        assert (together[row, len(alone) :] == PADDING).all()


def sentences(limit: int) -> list[tuple[int, ...]]:
    """All that end, or are cut at the limit."""
    others = [token for token in range(VOCABULARY) if token != END]
    ended = [(*body, END) for length in range(limit) for body in product(others, repeat=length)]
    return [*ended, *product(others, repeat=limit)]


@torch.no_grad()
def chances(model: EncoderDecoder, source: Tensor, said: list[tuple[int, ...]]) -> list[float]:
    """log P of sentences in answer to one source, by the parallel pass."""
    length = max(map(len, said))
    target = torch.tensor([[START, *sentence, *[END] * (length - len(sentence))] for sentence in said])
    logits = model(source.expand(len(said), -1), target[:, :-1])
    each = logits.log_softmax(-1).gather(2, target[:, 1:, None]).squeeze(2)
    return [float(row[: len(sentence)].sum()) for row, sentence in zip(each, said, strict=True)]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("decoders", [("attention, rotary",), ("gated_conv",)])
def test_a_beam_of_all_sentences_finds_the_best(decoders, length_penalty, seed):
    model = model_of(decoders, "rotary", length=12, seed=seed)
    source, limit = symbols(2, 4), 3
    every = sentences(limit)
    options = {"limit": limit, "beams": len(every), "length_penalty": length_penalty, **ENDS}
    found = beam_search(next_token, *begun(model, source, limit=limit), **options)
    for row in range(2):
        total = dict(zip(every, chances(model, source[row : row + 1], every), strict=True))
        best = max(every, key=lambda s: total[s] / ((5 + len(s)) / 6) ** length_penalty)
        assert found[row].tolist() == [*best, *[PADDING] * (found.shape[1] - len(best))]


def keys_of(state: EncoderDecoderState) -> Tensor:
    return state.stack.blocks[0].cross.memory.tensors[0]


def test_the_beams_of_a_source_share_its_memory(seed):
    model = model_of(length=12, seed=seed)
    _, state = begun(model, symbols(2, 5), limit=4)
    spread = state.select(torch.tensor([0, 0, 1, 1]))
    moved = spread.select(torch.tensor([1, 1, 3, 2]))
    assert keys_of(moved) is keys_of(spread)
    assert keys_of(spread.select(torch.tensor([2, 1, 3, 2]))) is not keys_of(spread)


def test_what_is_kept_is_counted(seed):
    model = model_of(("attention, none",), "attention", length=12, seed=seed)
    _, state = begun(model, symbols(3, 5), limit=8)
    # Keys and values of 8 places of the target and of 5 of the source.
    assert state.numbers() == 3 * 2 * WIDTH * (8 + 5)


def test_mistakes_are_named(seed):
    model = model_of(cross="aligned_conv", length=8, seed=seed)
    source = symbols(2, 5)
    with pytest.raises(InputError, match=r"model\.eval"):
        EncoderDecoderState(model.train(), source, longest=8)
    model.eval()
    with pytest.raises(InputError, match="Build it with a larger length"):
        EncoderDecoderState(model, source, longest=9)
    with pytest.raises(InputError, match="at least 1"):
        EncoderDecoderState(model, source, longest=0)
    with pytest.raises(InputError, match="lengths"):
        EncoderDecoderState(model, source, torch.tensor([5, 6]), longest=8)
    memory, lengths = torch.zeros(2, 5, WIDTH), torch.tensor([5, 6])
    with pytest.raises(InputError, match="lengths"):
        begin(cross_of("attention", 8), batch=2, longest=8, memory=memory, lengths=lengths)
    state = EncoderDecoderState(model, source, longest=8)
    with pytest.raises(InputError, match="start token"):
        state.prefill(symbols(2, 0))
    with pytest.raises(InputError, match="larger longest"):
        state.prefill(symbols(2, 9))
    with pytest.raises(InputError, match="a token must have shape"):
        state.step(symbols(3, 1)[:, 0])
    state.prefill(symbols(2, 8))
    with pytest.raises(InputError, match="larger longest"):
        state.step(symbols(2, 1)[:, 0])
