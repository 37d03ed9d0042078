"""How much sooner has an encoder-decoder written its answers with states than by computing the prefix again?

    OMP_NUM_THREADS=1 python benchmarks/decode_pairs.py

The same search, greedy and with 4 beams, over two sources of logits: EncoderDecoderState, and the parallel pass
over all that is written, for every token. Sizes as of a small translation: width 96, 2 + 2 blocks, 2000 tokens, 128
sources of different lengths, answers of 24 and 48 tokens, weights as they start, so that hardly an answer ends before.
Interleaved, in one process, on one thread; both must write the same. Prints and writes to
benchmarks/results/decode_pairs.json the seconds of each, and the median of the ratios within a round between their
quartiles. Takes ten minutes.
"""

import statistics
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from common import options, write_record
from globalconv.decoding import EncoderDecoderState, beam_search, decode, next_token
from globalconv.measure.interleaved import interleaved, ratio, seconds
from globalconv.models import EncoderDecoder, build_encoder_decoder
from globalconv.models.encoder_decoder_designs import Size

SIZE, VOCABULARY, BATCH = Size(96, 2, 4, 384, dropout=0.1), 2000, 128
LIMITS, BEAMS = (24, 48), (1, 4)
ARMS = {
    "attention": ("attention", "attention"),
    "conv_both": ("global_conv", "attention"),
    "gated_conv": ("gated_conv", "attention"),
    "conv_cross": ("global_conv", "aligned_conv"),
}
"""Encoder and decoder, and what reads the encoder."""
PADDING, START, END = 0, 1, 2


class Recomputed:
    """The memory, and all tokens so far: what a state is spared."""

    def __init__(self, model: EncoderDecoder, source: Tensor, lengths: Tensor) -> None:
        self.model, self.lengths = model, lengths
        self.memory, self.written = model.encode(source, lengths), source[:, :0]

    def step(self, tokens: Tensor) -> Tensor:
        self.written = torch.cat([self.written, tokens[:, None]], dim=1)
        return self.model.decode(self.memory, self.written, self.lengths)[:, -1]

    def select(self, rows: Tensor) -> Self:
        # A step makes new tensors, so that the old state may go on as the new one.
        self.memory, self.lengths, self.written = self.memory[rows], self.lengths[rows], self.written[rows]
        return self


def written(
    model: EncoderDecoder, source: Tensor, lengths: Tensor, *, limit: int, beams: int, again: bool
) -> Tensor:
    """The answers; ``again``: with the prefix computed again for every token."""
    if again:
        state: Recomputed | EncoderDecoderState = Recomputed(model, source, lengths)
    else:
        state = EncoderDecoderState(model, source, lengths, longest=limit)
    logits = state.step(torch.full_like(source[:, 0], START))
    ends = {"limit": limit, "end": END, "padding": PADDING}
    if beams == 1:
        return decode(next_token, logits, state, **ends)
    return beam_search(next_token, logits, state, beams=beams, **ends)


@torch.no_grad()
def main() -> None:
    """Measure, print, record."""
    arguments = options(__doc__, name="decode_pairs", rounds=5).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    results: list[dict[str, Any]] = []
    for arm, (mixer, cross) in ARMS.items():
        for limit in LIMITS:
            model = build_encoder_decoder(
                VOCABULARY, limit, SIZE, encoder=mixer, decoder=mixer, cross=cross
            ).eval()
            source = torch.randint(3, VOCABULARY, (BATCH, limit))
            lengths = torch.randint(limit // 2, limit + 1, (BATCH,))
            for beams in BEAMS:
                ways = {
                    way: partial(
                        written, model, source, lengths, limit=limit, beams=beams, again=way == "again"
                    )
                    for way in ("again", "states")
                }
                # Where two tokens are equally likely, to rounding, the two may differ.
                same = (ways["again"]() == ways["states"]()).all(dim=1).sum().item()
                assert same >= 0.95 * BATCH, f"only {same} of {BATCH} answers are the same"
                times = interleaved(
                    {way: partial(seconds, call) for way, call in ways.items()},
                    rounds=arguments.rounds,
                    warm_up=False,
                )
                gain = ratio(times["again"], times["states"])
                row = {"arm": arm, "tokens": limit, "beams": beams, "same_answers": same}
                row |= {f"{way}_s": round(statistics.median(taken), 3) for way, taken in times.items()}
                row |= {"ratio": [round(number, 2) for number in (gain.low, gain.median, gain.high)]}
                print(*row.values(), flush=True)
                results.append(row)
    write_record(arguments.output, __doc__, {"rounds": arguments.rounds, "results": results})


if __name__ == "__main__":
    main()
