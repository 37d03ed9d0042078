"""The encoder-decoder computes what torch.nn.Transformer does, hides the future, and knows no padding."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer
from globalconv.models.aligned_conv import AlignedConv
from globalconv.models.cross_mixer import CrossAttention, CrossMixer
from globalconv.models.encoder_decoder import EncoderDecoder, Norm
from globalconv.models.encoder_decoder_designs import Size, build_encoder_decoder
from tests.models.padded import Everywhere, OneByOne

VOCABULARY, WIDTH, HEADS, HIDDEN, DEPTH = 13, 8, 2, 24, 2
ROUNDING = 1e-12


ENCODERS: dict[str, Callable[[], Mixer]] = {
    "attention": lambda: Attention(WIDTH, 12, num_heads=HEADS),
    "global_conv": lambda: GlobalConv(WIDTH, 12),
    "gated_conv": lambda: GatedConv(WIDTH, 12),
}
CROSSES: dict[str, Callable[[], CrossMixer]] = {
    "attention": lambda: CrossAttention(WIDTH, 12, num_heads=HEADS),
    "rotary": lambda: CrossAttention(WIDTH, 12, num_heads=HEADS, rotary=True),
    "aligned_conv": lambda: AlignedConv(WIDTH, 12),
}


def small(
    encoder: str = "attention",
    cross: str = "attention",
    *,
    decoder: str | None = None,
    norm: Norm = "post",
    wrap: Callable[[Mixer], Mixer] = lambda mixer: mixer,
) -> EncoderDecoder:
    causal = {"attention": Attention, "global_conv": GlobalConv, "gated_conv": GatedConv}[decoder or encoder]
    heads = {"num_heads": HEADS} if causal is Attention else {}
    model = EncoderDecoder(
        VOCABULARY,
        [wrap(ENCODERS[encoder]()) for _ in range(DEPTH)],
        [causal(WIDTH, 12, causal=True, **heads) for _ in range(DEPTH)],
        [CROSSES[cross]() for _ in range(DEPTH)],
        mlp_width=HIDDEN,
        norm=norm,
        positions=True,
        dropout=0.3,
    )
    return model.double().eval()


def tokens(generator: torch.Generator, batch: int, length: int) -> Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=generator)


def twin_of_torch(ours: EncoderDecoder, norm: Norm) -> nn.Transformer:
    """torch.nn.Transformer with the weights of ``ours``; as in the paper, no norm ends a post-norm stack."""
    theirs = nn.Transformer(
        WIDTH, HEADS, DEPTH, DEPTH, HIDDEN, 0.3, batch_first=True, norm_first=norm == "pre"
    ).double()
    if norm == "post":
        theirs.encoder.norm = theirs.decoder.norm = None
    else:
        theirs.encoder.norm.load_state_dict(ours.encoder.norm.state_dict())
        theirs.decoder.norm.load_state_dict(ours.decoder.norm.state_dict())

    def attention(to: nn.MultiheadAttention, weights: list[nn.Linear], output: nn.Linear) -> None:
        to.in_proj_weight.copy_(torch.cat([linear.weight for linear in weights]))
        to.in_proj_bias.copy_(torch.cat([linear.bias for linear in weights]))
        to.out_proj.load_state_dict(output.state_dict())

    with torch.no_grad():
        for mine, its in zip(
            [*ours.encoder.blocks, *ours.decoder.blocks],
            [*theirs.encoder.layers, *theirs.decoder.layers],
            strict=True,
        ):
            mixer = mine.mixer
            attention(its.self_attn, [mixer.project], mixer.output)
            its.linear1.load_state_dict(mine.mlp.expand.state_dict())
            its.linear2.load_state_dict(mine.mlp.contract.state_dict())
            its.norm1.load_state_dict(mine.mixer_norm.state_dict())
            norms = [its.norm2, its.norm3] if mine.cross is not None else [its.norm2]
            norms[-1].load_state_dict(mine.mlp_norm.state_dict())
            if mine.cross is not None:
                cross = mine.cross
                attention(its.multihead_attn, [cross.query, cross.key_value], cross.output)
                norms[0].load_state_dict(mine.cross_norm.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("norm", ["post", "pre"])
@given(seed=st.integers(0, 2**31), source_length=st.integers(1, 9), target_length=st.integers(1, 9))
def test_computes_what_torch_does(norm: Norm, seed: int, source_length: int, target_length: int):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    ours = EncoderDecoder(
        VOCABULARY,
        [Attention(WIDTH, 9, num_heads=HEADS, positions="none") for _ in range(DEPTH)],
        [Attention(WIDTH, 9, num_heads=HEADS, positions="none", causal=True) for _ in range(DEPTH)],
        [CrossAttention(WIDTH, 9, num_heads=HEADS) for _ in range(DEPTH)],
        mlp_width=HIDDEN,
        norm=norm,
        activation="relu",
        positions=True,
    )
    ours = ours.double().eval()
    for parameter in ours.parameters():  # norms that do something
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.double))
    theirs = twin_of_torch(ours, norm)
    source, target = tokens(generator, 3, source_length), tokens(generator, 3, target_length)
    table = ours.embed.weight

    def embedded(numbers: Tensor) -> Tensor:
        """Section 3.4 and 3.5, written out."""
        vectors = table[numbers] * WIDTH**0.5
        for place in range(numbers.shape[1]):
            for i in range(0, WIDTH, 2):
                angle = torch.tensor(place / 10000 ** (i / WIDTH), dtype=torch.double)
                vectors[:, place, i] += angle.sin()
                vectors[:, place, i + 1] += angle.cos()
        return vectors

    with torch.no_grad():
        hidden = nn.Transformer.generate_square_subsequent_mask(target_length, dtype=torch.double)
        expected = theirs(embedded(source), embedded(target), tgt_mask=hidden) @ table.T
        # Our table of angles is made in float32.
        torch.testing.assert_close(ours(source, target), expected, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_the_masks_are_those_of_torch(seed: int, lengths: list[int]):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    cross = CrossAttention(WIDTH, 9, num_heads=HEADS).double()
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([cross.query.weight, cross.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([cross.query.bias, cross.key_value.bias]))
        theirs.out_proj.load_state_dict(cross.output.state_dict())
        x = torch.randn(len(lengths), 5, WIDTH, generator=generator, dtype=torch.double)
        memory = torch.randn(len(lengths), max(lengths), WIDTH, generator=generator, dtype=torch.double)
        padding = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
        expected, _ = theirs(x, memory, memory, key_padding_mask=padding)
        torch.testing.assert_close(cross(x, memory, torch.tensor(lengths)), expected)


@pytest.mark.parametrize("wrap", [lambda mixer: mixer, OneByOne], ids=["its own way", "one by one"])
@pytest.mark.parametrize("cross", CROSSES)
@pytest.mark.parametrize("encoder", ENCODERS)
@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_padding_changes_no_real_token(encoder: str, cross: str, wrap, seed: int, lengths: list[int]):
    torch.manual_seed(seed)
    assert _effect_of_padding(small(encoder, cross, wrap=wrap), lengths, seed) <= ROUNDING


def test_padding_that_is_not_known_changes_them(seed: int):
    for encoder in ENCODERS:
        torch.manual_seed(seed)
        assert _effect_of_padding(small(encoder, wrap=Everywhere), [2, 9], seed) > 1e-6


@pytest.mark.parametrize("cross", CROSSES)
def test_padding_that_a_cross_mixer_does_not_know_changes_them(cross: str, seed: int, monkeypatch):
    torch.manual_seed(seed)
    model = small(cross=cross)
    monkeypatch.setattr(
        "globalconv.models.cross_mixer.real_tokens",
        lambda lengths, length: torch.ones(len(lengths), length, dtype=torch.bool),
    )
    for place in ("stack", "cross_mixer", "aligned_conv"):
        monkeypatch.setattr(f"globalconv.models.{place}.clear_padding", lambda x, lengths: x)
    assert _effect_of_padding(model, [2, 9], seed) > 1e-6


@pytest.mark.parametrize("cross", CROSSES)
@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_nan_behind_a_memory_reaches_no_result_and_no_gradient(cross: str, seed: int, lengths: list[int]):
    torch.manual_seed(seed)
    mixer = CROSSES[cross]().double()
    x = torch.randn(len(lengths), 11, WIDTH, dtype=torch.double)
    memory = torch.randn(len(lengths), max(lengths) + 2, WIDTH, dtype=torch.double)
    own = torch.tensor(lengths)
    padding = torch.arange(memory.shape[1]) >= own[:, None]
    found = [
        _result_and_gradients(mixer, x, memory.masked_fill(padding[..., None], fill), own)
        for fill in (0.0, float("nan"))
    ]
    torch.testing.assert_close(found[0], found[1], rtol=ROUNDING, atol=ROUNDING)
    assert not found[1][1][padding].any()
    for row, n in enumerate(lengths):  # a target that goes on behind its source is answered there too
        alone = mixer(x[row : row + 1], memory[row : row + 1, :n])[0]
        torch.testing.assert_close(found[1][0][row], alone, rtol=1e-10, atol=ROUNDING)


def _result_and_gradients(
    mixer: CrossMixer, x: Tensor, memory: Tensor, lengths: Tensor
) -> tuple[Tensor, ...]:
    memory = memory.requires_grad_()
    result = mixer(x, memory, lengths)
    return (result, *torch.autograd.grad(result.square().sum(), [memory, *mixer.parameters()]))


@torch.no_grad()
def _effect_of_padding(model: EncoderDecoder, lengths: list[int], seed: int) -> float:
    """How far a padded batch is from its sequences run one by one; padding holds real token numbers."""
    generator = torch.Generator().manual_seed(seed)
    batch = len(lengths)
    source, target = tokens(generator, batch, max(lengths) + 2), tokens(generator, batch, 9)
    target_lengths = [max(1, 10 - n) for n in lengths]
    together = model(source, target, torch.tensor(lengths))
    worst = 0.0
    for row, (n, m) in enumerate(zip(lengths, target_lengths, strict=True)):
        alone = model(source[row : row + 1, :n], target[row : row + 1, :m])
        error = (together[row, :m] - alone[0]).norm() / alone.norm()
        worst = max(worst, float(error))
    return worst


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize(("encoder", "decoder"), [(e, d) for e in ENCODERS for d in ENCODERS])
def test_the_decoder_does_not_see_its_future(encoder: str, decoder: str, norm: Norm, generator):
    model = small(encoder, "aligned_conv" if norm == "pre" else "attention", decoder=decoder, norm=norm)
    source, target = tokens(generator, 2, 7), tokens(generator, 2, 9)
    with torch.no_grad():
        logits = model(source, target)
        for t in range(9):
            changed = torch.cat([target[:, : t + 1], tokens(generator, 2, 8 - t)], dim=1)
            torch.testing.assert_close(model(source, changed)[:, : t + 1], logits[:, : t + 1])
        # A mutant: a target that is seen whole.
        model.decoder.blocks[0].mixer = ENCODERS[decoder]().double()
        changed = torch.cat([target[:, :1], (target[:, 1:] + 1) % VOCABULARY], dim=1)
        assert (model(source, changed)[:, 0] - model(source, target)[:, 0]).abs().max() > 1e-6


@pytest.mark.parametrize("cross", CROSSES)
def test_every_source_token_is_read(cross: str, generator):
    model = small("global_conv", cross)
    source, target = tokens(generator, 1, 7), tokens(generator, 1, 7)
    with torch.no_grad():
        logits = model(source, target)
        for s in range(7):
            changed = source.clone()
            changed[0, s] = (changed[0, s] + 1) % VOCABULARY
            assert (model(changed, target) - logits).abs().amax(-1).min() > 1e-9


def test_rotary_cross_attention_knows_places_and_any_length(generator):
    cross = CrossAttention(WIDTH, 5, num_heads=HEADS, rotary=True).double()
    plain = CrossAttention(WIDTH, 5, num_heads=HEADS).double()
    longer = CrossAttention(WIDTH, 9, num_heads=HEADS, rotary=True).double()
    plain.load_state_dict(cross.state_dict())
    longer.load_state_dict(cross.state_dict())
    x = torch.randn(2, 9, WIDTH, generator=generator, dtype=torch.double)
    memory = torch.randn(2, 7, WIDTH, generator=generator, dtype=torch.double)
    torch.testing.assert_close(cross(x, memory), longer(x, memory))
    torch.testing.assert_close(plain(x, memory.flip(1)), plain(x, memory))
    assert (cross(x, memory.flip(1)) - cross(x, memory)).abs().max() > 1e-6


def test_an_aligned_convolution_is_the_sum_it_says(generator):
    cross = AlignedConv(WIDTH, 9).double()
    x = torch.randn(2, 6, WIDTH, generator=generator, dtype=torch.double)
    memory = torch.randn(2, 9, WIDTH, generator=generator, dtype=torch.double)
    lengths = torch.tensor([9, 4])
    taps = cross.filter(2 * cross.length - 1).roll(8, dims=1)
    value = cross.value(memory)
    mixed = torch.zeros(2, 6, WIDTH, dtype=torch.double)
    for row, n in enumerate(lengths.tolist()):
        for t in range(6):
            for s in range(n):
                mixed[row, t] += taps[:, t - s + 8] * value[row, s]
    torch.testing.assert_close(cross(x, memory, lengths), cross.output(cross.query(x) * mixed))


def test_dropout_acts_in_training_only(generator):
    model = small()
    source, target = tokens(generator, 2, 5), tokens(generator, 2, 5)
    assert torch.equal(model(source, target), model(source, target))
    model.train()
    assert not torch.equal(model(source, target), model(source, target))


@pytest.mark.parametrize("design", ["original", "modern"])
def test_every_parameter_learns(design, generator):
    model = build_encoder_decoder(
        VOCABULARY,
        9,
        Size(WIDTH, 2, HEADS, HIDDEN, 0.0),
        design=design,
        encoder="global_conv",
        cross="aligned_conv",
    )
    loss = model(tokens(generator, 3, 9), tokens(generator, 3, 8)).logsumexp(-1).square().sum()
    loss.backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_parts_that_do_not_fit_are_refused():
    good = ([GlobalConv(8, 4)], [GlobalConv(8, 4, causal=True)], [AlignedConv(8, 4)])
    EncoderDecoder(5, *good, mlp_width=8)
    for place, wrong in (
        (0, []),
        (0, [GlobalConv(8, 4, causal=True)]),
        (0, [GlobalConv(6, 4)]),
        (1, [GlobalConv(8, 4)]),
        (2, []),
        (2, [AlignedConv(6, 4)]),
    ):
        parts = [*good]
        parts[place] = wrong
        with pytest.raises(InputError):
            EncoderDecoder(5, *parts, mlp_width=8)
    with pytest.raises(InputError, match="heads"):
        CrossAttention(9, 4, num_heads=2)
    with pytest.raises(InputError, match="larger length"):
        AlignedConv(8, 4)(torch.zeros(1, 5, 8), torch.zeros(1, 4, 8))
