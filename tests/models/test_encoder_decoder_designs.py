"""The original sizes: what is counted, and every row of the paper's table 3 that our parts can make."""

import pytest
import torch

from globalconv.errors import InputError
from globalconv.filters import Filter
from globalconv.mixers.gmlp import SpatialGate
from globalconv.models.encoder_decoder_designs import SIZES, Size, build_encoder_decoder

TABLE_3 = [
    (Size(512, 2, 8, 2048, 0.1), 36),
    (Size(512, 4, 8, 2048, 0.1), 50),
    (Size(512, 6, 8, 2048, 0.1), 65),
    (Size(512, 8, 8, 2048, 0.1), 80),
    (Size(256, 6, 8, 2048, 0.1), 28),
    (Size(1024, 6, 8, 2048, 0.1), 168),
    (Size(512, 6, 8, 1024, 0.1), 53),
    (Size(512, 6, 8, 4096, 0.1), 90),
]
"""Rows (C) of arXiv 1706.03762 and its base model: the size, and the millions of parameters printed."""


def count(vocabulary: int, size: Size | str, **mixers: str) -> int:
    with torch.device("meta"):
        model = build_encoder_decoder(vocabulary, 64, size, **mixers)
    return sum(parameter.numel() for parameter in model.parameters())


def counted_by_hand(vocabulary: int, size: Size) -> int:
    d, f = size.width, size.mlp_width
    attention = 4 * (d * d + d)
    mlp = d * f + f + f * d + d
    norm = 2 * d
    encoder_block = attention + mlp + 2 * norm
    decoder_block = 2 * attention + mlp + 3 * norm
    return vocabulary * d + size.depth * (encoder_block + decoder_block)


def test_base_and_big_have_the_numbers_that_are_told():
    assert count(37_000, "base") == counted_by_hand(37_000, SIZES["base"]) == 63_082_496
    assert count(37_000, "big") == counted_by_hand(37_000, SIZES["big"]) == 214_245_376


@pytest.mark.parametrize(("size", "millions"), TABLE_3)
def test_the_papers_table_holds_at_one_vocabulary(size: Size, millions: int):
    assert round(count(41_000, size) / 1e6) == millions


def test_at_the_rounded_vocabulary_the_table_does_not_hold():
    assert [round(count(37_000, size) / 1e6) for size, _ in TABLE_3] != [millions for _, millions in TABLE_3]


def test_the_twin_differs_in_its_mixers_only():
    names = build_encoder_decoder(50, 8, Size(16, 2, 2, 32, 0.0)).state_dict().keys()
    twin = build_encoder_decoder(50, 8, Size(16, 2, 2, 32, 0.0), encoder="global_conv").state_dict().keys()
    changed = names ^ twin
    assert changed
    assert all(name.startswith("encoder.") and ".mixer." in name for name in changed)


def test_what_does_not_exist_is_refused():
    for wrong in (
        {"size": "bsae"},
        {"design": "orignal"},
        {"cross": "atention"},
        {"encoder": "atention"},
        {"decoder": ["attention"]},
    ):
        with pytest.raises(InputError):
            build_encoder_decoder(50, 8, **wrong)


@pytest.mark.parametrize("mixer", ["gmlp", "hyena", "dynamic_conv"])
def test_what_has_a_start_of_its_own_keeps_it(mixer, seed):
    """The original draws plain linear layers again: no gate, filter, or layer without a bias among them is broken."""
    torch.manual_seed(seed)
    model = build_encoder_decoder(7, 12, Size(8, 1, 2, 20, dropout=0.0), design="original", encoder=mixer)
    gates = [module for module in model.modules() if isinstance(module, SpatialGate)]
    filters = [module for module in model.modules() if isinstance(module, Filter)]
    assert len(gates) == (mixer == "gmlp")
    assert all(bool((gate.bias == 1).all()) for gate in gates)
    for filter_ in filters:
        norm = filter_(filter_.length).norm(dim=1)
        torch.testing.assert_close(norm, torch.ones_like(norm))
