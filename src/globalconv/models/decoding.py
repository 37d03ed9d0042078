"""From an encoder-decoder's logits to sentences: greedily, or with a beam. Every step recomputes the prefix."""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.models.encoder_decoder import EncoderDecoder


@torch.no_grad()
def greedy(
    model: EncoderDecoder,
    source: Tensor,
    lengths: Tensor | None = None,
    *,
    limit: int,
    start: int,
    end: int,
    padding: int,
) -> Tensor:
    """The likeliest token at every step, (batch, at most ``limit``) int64, without the ``start`` token.

    ``source`` (batch, source length), ``lengths`` as the model takes them. A row goes on until it wrote
    ``end`` (which stays in it) and is filled with ``padding`` behind it; all stop at ``limit`` tokens.
    """
    memory = model.encode(source, lengths)
    written = source.new_full((len(source), 1), start)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    while written.shape[1] <= limit and not ended.all():
        token = model.decode(memory, written, lengths)[:, -1].argmax(-1)
        token = torch.where(ended, padding, token)
        written = torch.cat([written, token[:, None]], dim=1)
        ended |= token == end
    return written[:, 1:]


@torch.no_grad()
def beam_search(
    model: EncoderDecoder,
    source: Tensor,
    lengths: Tensor | None = None,
    *,
    limit: int,
    start: int,
    end: int,
    padding: int,
    beams: int = 4,
    length_penalty: float = 0.6,
) -> Tensor:
    """The best sentence that a beam finds, in the shape and with the ends of ``greedy``.

    Sentences Y are ranked by log P(Y) / ((5 + |Y|) / 6)^``length_penalty``, |Y| counted with ``end`` (GNMT, arXiv
    1609.08144, equation 14; 4 beams and 0.6 are 1706.03762's, section 6.1). A row is done when none of its
    open beams could still win, or at ``limit`` tokens; one that never wrote ``end`` counts as it stands.
    Raises InputError for fewer than one beam.
    """
    if beams < 1:
        raise InputError(f"a beam of {beams} holds no sentence: use 1 (greedy) or more.")
    rows, device = len(source), source.device
    memory = model.encode(source, lengths).repeat_interleave(beams, dim=0)
    spread = None if lengths is None else lengths.repeat_interleave(beams)
    written = source.new_full((rows, beams, 1), start)
    # At first all beams are alike: only one may have offspring.
    scores = torch.full((rows, beams), -torch.inf, device=device)
    scores[:, 0] = 0.0
    best = source.new_full((rows, limit), padding)
    best_length = torch.zeros(rows, dtype=torch.int64, device=device)
    best_score = torch.full((rows,), -torch.inf, device=device)

    def ranked(score: Tensor, count: int) -> Tensor:
        return score / ((5 + count) / 6) ** length_penalty

    for count in range(1, limit + 1):
        logits = model.decode(memory, written.flatten(0, 1), spread)[:, -1]
        chances = logits.float().log_softmax(-1).unflatten(0, (rows, beams))
        vocabulary = chances.shape[-1]
        # Twice as many as beams: at most half of them are ends.
        totals = (scores[..., None] + chances).flatten(1)
        top, index = totals.topk(min(2 * beams, totals.shape[1]), dim=1)
        origin, token = index // vocabulary, index % vocabulary
        longer = torch.cat(
            [written.gather(1, origin[..., None].expand(-1, -1, count)), token[..., None]], dim=2
        )

        is_end = token == end
        finished = ranked(top, count).masked_fill(~is_end, -torch.inf)
        if count == limit:
            finished = ranked(top, count)
        score, which = finished.max(dim=1)
        better = score > best_score
        best_score = torch.where(better, score, best_score)
        sentence = longer[torch.arange(rows, device=device), which, 1:]
        best[better] = padding
        best[better, :count] = sentence[better]
        best_length = torch.where(better, count, best_length)

        scores, kept = top.masked_fill(is_end, -torch.inf).topk(min(beams, top.shape[1]), dim=1)
        if kept.shape[1] < beams:
            scores = F.pad(scores, (0, beams - kept.shape[1]), value=-torch.inf)
            kept = F.pad(kept, (0, beams - kept.shape[1]))
        written = longer.gather(1, kept[..., None].expand(-1, -1, count + 1))
        # Log P only falls with every token; the penalty is kindest to the longest sentence, or the next.
        hope = torch.maximum(ranked(scores[:, 0], limit), ranked(scores[:, 0], count + 1))
        if bool((hope <= best_score).all()):
            break
    return best[:, : int(best_length.max())]
