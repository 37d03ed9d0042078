"""Greedy and beam search against what they are defined by: the likeliest token, the best of all sentences."""

import itertools

import pytest
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.models.decoding import beam_search, greedy
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.models.original import Size, build_encoder_decoder

START, END, PADDING = 1, 2, 0
VOCABULARY = 5
SYMBOLS = {"start": START, "end": END, "padding": PADDING}


@pytest.fixture
def model(seed: int) -> EncoderDecoder:
    torch.manual_seed(seed)
    model = build_encoder_decoder(VOCABULARY, 8, Size(8, 1, 2, 16, 0.0)).double().eval()
    with torch.no_grad():
        model.embed.weight.mul_(4)  # sharper choices than at the start
    return model


@torch.no_grad()
def score(model: EncoderDecoder, source: Tensor, sentence: tuple[int, ...]) -> float:
    """log P of a sentence."""
    target = torch.tensor([[START, *sentence]])
    chances = model(source, target[:, :-1]).log_softmax(-1)
    return float(chances.gather(2, target[:, 1:, None]).sum())


def sentences(limit: int) -> list[tuple[int, ...]]:
    """All that end, or are cut at the limit."""
    others = [token for token in range(VOCABULARY) if token != END]
    ended = [(*body, END) for length in range(limit) for body in itertools.product(others, repeat=length)]
    return [*ended, *itertools.product(others, repeat=limit)]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sentences(model, generator, length_penalty):
    source = torch.randint(3, VOCABULARY, (3, 4), generator=generator)
    limit = 4
    found = beam_search(
        model, source, limit=limit, beams=VOCABULARY**limit, length_penalty=length_penalty, **SYMBOLS
    )
    for row in range(3):
        best = max(
            sentences(limit),
            key=lambda s: score(model, source[row : row + 1], s) / ((5 + len(s)) / 6) ** length_penalty,
        )
        assert found[row].tolist() == [*best, *[PADDING] * (found.shape[1] - len(best))]


def test_one_beam_without_penalty_is_greedy_until_the_end(model, generator):
    source = torch.randint(3, VOCABULARY, (16, 5), generator=generator)
    together = greedy(model, source, limit=6, **SYMBOLS)
    for row in range(16):
        written = [START]
        while len(written) <= 6 and END not in written:
            with torch.no_grad():
                written.append(int(model(source[row : row + 1], torch.tensor([written]))[0, -1].argmax()))
        said = written[1:]
        assert together[row].tolist() == [*said, *[PADDING] * (together.shape[1] - len(said))]


def test_a_beam_is_no_worse_than_greedy_where_it_is_wide(model, generator):
    source = torch.randint(3, VOCABULARY, (8, 5), generator=generator)
    narrow = greedy(model, source, limit=5, **SYMBOLS)
    wide = beam_search(model, source, limit=5, beams=200, length_penalty=0.0, **SYMBOLS)

    def said(row: Tensor) -> tuple[int, ...]:
        told = row.tolist()
        return tuple(told[: told.index(END) + 1] if END in told else told)

    for row in range(8):
        one = source[row : row + 1]
        assert score(model, one, said(wide[row])) >= score(model, one, said(narrow[row])) - 1e-9


def test_rows_of_different_lengths_are_decoded_as_if_alone(model, generator):
    from tests.models.test_encoder_decoder import small

    model = small("global_conv")
    source, lengths = torch.randint(3, 13, (4, 8), generator=generator), torch.tensor([8, 3, 1, 5])
    for decode in (greedy, beam_search):
        together = decode(model, source, lengths, limit=7, **SYMBOLS)
        for row, n in enumerate(lengths.tolist()):
            alone = decode(model, source[row : row + 1, :n], limit=7, **SYMBOLS)[0]
            behind = together[row, len(alone) :]
            assert torch.equal(together[row, : len(alone)], alone)
            assert (behind == PADDING).all()


def test_a_beam_of_none_is_refused(model):
    with pytest.raises(InputError, match="greedy"):
        beam_search(model, torch.ones(1, 2, dtype=torch.int64), limit=3, beams=0, **SYMBOLS)
