"""Greedy, sampled and beam search on a small model that is a table, where every sequence can be counted."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.decoding import beam_search, decode, likeliest, sampler, stream
from globalconv.errors import InputError

seeds = st.integers(0, 2**31 - 1)
VOCABULARY, LIMIT = 3, 4
END = 2


class Table:
    """Logits of what follows each prefix, drawn once for each row of the batch; its state is what was written."""

    def __init__(self, rows: int, *, seed: int, vocabulary: int = VOCABULARY, limit: int = LIMIT) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = [
            {
                prefix: 2 * torch.randn(vocabulary, generator=generator)
                for length in range(limit + 1)
                for prefix in product(range(vocabulary), repeat=length)
            }
            for _ in range(rows)
        ]

    def begin(self):
        return torch.stack([table[()] for table in self.logits]), Written(
            list(range(len(self.logits))), [()] * len(self.logits)
        )

    def step(self, tokens, state):
        # In place, as a step may: the search must not use a state twice.
        state.prefixes = [(*p, int(t)) for p, t in zip(state.prefixes, tokens, strict=True)]
        return torch.stack(
            [self.logits[r][p] for r, p in zip(state.rows, state.prefixes, strict=True)]
        ), state

    def chance(self, row: int, sequence) -> float:
        """log P."""
        return sum(
            float(self.logits[row][tuple(sequence[:n])].double().log_softmax(-1)[token])
            for n, token in enumerate(sequence)
        )


class Written:
    def __init__(self, rows, prefixes):
        self.rows, self.prefixes = rows, prefixes

    def select(self, rows):
        return Written([self.rows[r] for r in rows], [self.prefixes[r] for r in rows])


def sequences(end: int | None):
    """All that can be written: up to and with the first ``end``, or as long as the limit."""
    for length in range(1, LIMIT + 1):
        for sequence in product(range(VOCABULARY), repeat=length):
            ends = end is not None and sequence[-1] == end
            if (end is None or end not in sequence[:-1]) and (ends or length == LIMIT):
                yield sequence


def padded(sequence, length: int, padding: int) -> list[int]:
    return [*sequence, *[padding] * (length - len(sequence))]


@given(st.integers(1, 4), st.sampled_from([None, END]), st.floats(-1, 2), seeds)
def test_a_beam_of_all_sequences_is_exhaustive(rows, end, penalty, seed):
    table = Table(rows, seed=seed)
    found = beam_search(
        table.step,
        *table.begin(),
        limit=LIMIT,
        beams=len(list(sequences(end))),
        length_penalty=penalty,
        end=end,
        padding=9,
    )
    for row in range(rows):
        ranked = {s: table.chance(row, s) / ((5 + len(s)) / 6) ** penalty for s in sequences(end)}
        best = max(ranked, key=lambda s: ranked[s])
        assert found[row].tolist() == padded(best, found.shape[1], 9)


@given(st.integers(1, 4), st.sampled_from([None, END]), st.floats(-1, 2), seeds)
def test_one_beam_is_greedy(rows, end, penalty, seed):
    table = Table(rows, seed=seed)
    options = {"limit": LIMIT, "end": end, "padding": 1}
    greedy = decode(table.step, *table.begin(), **options)
    beam = beam_search(table.step, *table.begin(), beams=1, length_penalty=penalty, **options)
    assert torch.equal(beam, greedy)


def searched(table: Table, row: int, *, beams: int, penalty: float, end: int | None) -> tuple[int, ...]:
    """The rule as it is written, in plain Python; a row is never given up."""
    best, complete, opened = {}, 0, [()]
    for count in range(1, LIMIT + 1):
        continued = [(*sequence, token) for sequence in opened for token in range(VOCABULARY)]
        continued.sort(key=lambda sequence: -table.chance(row, sequence))
        for sequence in continued[:beams]:
            if count == LIMIT or sequence[-1] == end:
                best[sequence] = table.chance(row, sequence) / ((5 + count) / 6) ** penalty
                complete += 1
        if complete >= beams:
            break
        opened = [sequence for sequence in continued if sequence[-1] != end][:beams]
    return max(best, key=lambda sequence: best[sequence])


@given(st.integers(1, 8), st.sampled_from([None, END]), st.floats(-1, 2), seeds)
def test_a_beam_follows_its_rule(beams, end, penalty, seed):
    table = Table(3, seed=seed)
    options = {"limit": LIMIT, "beams": beams, "length_penalty": penalty, "end": end, "padding": 9}
    found = beam_search(table.step, *table.begin(), **options)
    for row in range(3):
        best = searched(table, row, beams=beams, penalty=penalty, end=end)
        assert found[row].tolist() == padded(best, found.shape[1], 9)


def test_a_beam_does_not_narrow():
    """One of the two likeliest first tokens is the end; then the third stays open beside the other, and wins."""
    table = Table(1, seed=0)
    table.logits[0] = dict.fromkeys(table.logits[0], torch.zeros(VOCABULARY))
    table.logits[0][()] = torch.tensor([0.4, 0.25, 0.35]).log()
    table.logits[0][1,] = torch.tensor([0.0, 0.0, 1.0]).log()
    options = {"limit": 2, "beams": 2, "length_penalty": 5.0, "end": END}
    assert beam_search(table.step, *table.begin(), **options).tolist() == [[1, END]]


@given(st.integers(1, 6), seeds)
def test_rows_of_a_beam_are_independent(beams, seed):
    table = Table(3, seed=seed)
    options = {"limit": LIMIT, "beams": beams, "end": END, "padding": 0}
    together = beam_search(table.step, *table.begin(), **options)
    for row in range(3):
        logits, _ = table.begin()
        alone = beam_search(table.step, logits[row : row + 1], Written([row], [()]), **options)
        assert together[row].tolist() == padded(alone[0].tolist(), together.shape[1], 0)


@given(seeds)
def test_greedy_takes_the_likeliest_after_what_it_wrote(seed):
    table = Table(3, seed=seed)
    found = decode(table.step, *table.begin(), limit=LIMIT)
    assert found.shape == (3, LIMIT)
    for row, sequence in enumerate(found.tolist()):
        for n, token in enumerate(sequence):
            assert token == int(table.logits[row][tuple(sequence[:n])].argmax())


@given(seeds)
def test_behind_the_end_is_padding_and_nothing_else(seed):
    table = Table(4, seed=seed)
    choose = sampler(torch.Generator().manual_seed(seed))
    found = decode(table.step, *table.begin(), choose, limit=LIMIT, end=END, padding=1)
    for sequence in found.tolist():
        if END in sequence:
            assert set(sequence[sequence.index(END) + 1 :]) <= {1}
    lengths = [s.index(END) + 1 if END in s else LIMIT for s in found.tolist()]
    assert found.shape[1] == max(lengths)


def test_samples_follow_their_distribution(seed):
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20_000, 4)
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 2), (1.0, 9)):
        drawn = sampler(torch.Generator().manual_seed(seed), temperature=temperature, top_k=top_k)(logits)
        expected = (logits[0].double() / temperature).softmax(-1)
        if top_k == 2:
            expected[[0, 3]] = 0
            expected /= expected.sum()
        found = torch.bincount(drawn, minlength=4) / len(drawn)
        # Five standard deviations of a share of 20000.
        assert ((found - expected).abs() <= 5 * (expected * (1 - expected) / 20_000).sqrt()).all()


def test_a_seed_repeats_its_samples_and_touches_no_other_generator(seed):
    logits = torch.randn(50, 10)
    before = torch.get_rng_state()
    first, second, other = (sampler(torch.Generator().manual_seed(s))(logits) for s in (seed, seed, seed + 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1e300])
def test_extreme_temperatures_are_the_likeliest_and_chance(temperature, generator):
    logits = torch.tensor([[1.0, 3.0, 2.9]]).expand(500, 3)
    drawn = sampler(generator, temperature=temperature)(logits)
    assert (drawn == 1).all() if temperature < 1 else len(drawn.unique()) == 3


def test_a_step_is_taken_only_when_its_token_is_wanted():
    taken = []

    def step(tokens, state):
        taken.append(int(tokens))
        return torch.zeros(1, 4), state

    tokens = stream(step, torch.tensor([[0.0, 1.0, 0.0, 0.0]]), None, likeliest)
    assert int(next(tokens)) == 1
    assert taken == []
    assert int(next(tokens)) == 0
    assert taken == [1]


def test_mistakes_are_named(generator):
    table = Table(1, seed=0)
    with pytest.raises(InputError, match="beams=0"):
        beam_search(table.step, *table.begin(), limit=3, beams=0)
    for search in (decode, beam_search):
        with pytest.raises(InputError, match="limit=0"):
            search(table.step, *table.begin(), limit=0)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature"):
            sampler(generator, temperature=temperature)
    with pytest.raises(InputError, match="top_k 0"):
        sampler(generator, top_k=0)
