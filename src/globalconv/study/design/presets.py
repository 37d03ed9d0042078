"""Where a study starts from on each kind of task: sizes, steps, and learning rates with their source."""

from dataclasses import dataclass, field, replace
from typing import Any

from globalconv.models.encoder_decoder_designs import Design

SERIOUS_BUDGET_SECONDS = 1800.0
"""From this budget on, models are larger, rates are swept and five seeds are run by default."""


@dataclass(frozen=True)
class Preset:
    """Starting values for one kind of task at one scale of budget."""

    heads: int
    steps: int
    rates: dict[str, float]
    """Arm -> learning rate: the shipped one, and the middle of a sweep."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the task itself, such as a length or a vocabulary."""
    width: int = 64
    depth: int = 2
    batch_size: int = 32
    mlp_ratio: int = 2
    """The rival's channel MLP over its width. The Transformer's own is 4; 2 leaves a short budget more steps."""
    evaluations: int = 12
    taps_rate_factor: float = 1.0
    design: Design | None = None
    """The design of an encoder-decoder, unless the user chooses one."""
    dropout: float = 0.0
    """The dropout of an encoder-decoder."""
    source: str | None = None
    """Where the rates were measured; None: they are a guess for this task, and only a sweep tunes it."""


ANY_ARM_RATE = 3e-3
"""The middle of the sweep for an arm that has no rate of its own here."""

SWEEP_SOURCE = "shipped: swept on this task at these sizes (studies/rates/rates.json)"

DIGITS_RATES = {
    "attention": 2e-3,
    "global_conv": 1e-2,
    "gated_conv": 3e-3,
    "hybrid": 5e-3,
    "token_mlp": 1.6e-3,
}
"""Rates of the digits. Other classifications have none of their own and begin their sweep here."""

PAIRS_RATES = {
    "attention": 1e-3,
    "conv_encoder": 1e-3,
    "conv_both": 2e-3,
    "hybrid": 1e-3,
    "conv_cross": 2e-3,
}
"""Where a sweep begins for encoder-decoders, and what it chose for copy; twice the rate shook those with attention in
the decoder."""
PAIRS = Preset(heads=4, steps=1500, rates=PAIRS_RATES, mlp_ratio=4, design="original")
"""Sizes of the generated pairs. Here the original Transformer copies, and reverses, 32 symbols without a fault
after 1,000 steps at a rate of 1e-3."""
COPY = replace(PAIRS, source=SWEEP_SOURCE)
REVERSE = replace(PAIRS, rates=PAIRS_RATES | {"conv_cross": 6.3e-3}, source=SWEEP_SOURCE)

TRANSLATION = Preset(
    width=96,
    heads=4,
    steps=3000,
    rates=dict.fromkeys(PAIRS_RATES, 2e-3),
    options={
        "length": 40,
        "max_vocabulary": 2000,
        "max_pairs": 30_000,
        "num_validation": 200,
        "num_test": 300,
    },
    mlp_ratio=4,
    evaluations=8,
    design="original",
    dropout=0.1,
)

QUICK: dict[str, Preset] = {
    "recall": Preset(
        heads=2,
        steps=450,
        rates={"attention": 3e-3, "global_conv": 9.5e-3, "gated_conv": 3e-3, "hybrid": 3e-3},
        options={"vocabulary": 64, "length": 32, "num_pairs": 4, "num_validation": 256},
        source=SWEEP_SOURCE,
    ),
    "digits": Preset(
        heads=8,
        batch_size=16,
        steps=1400,
        rates=DIGITS_RATES,
        source=SWEEP_SOURCE,
    ),
    "text": Preset(
        heads=2,
        batch_size=8,
        steps=240,
        rates={"attention": 1e-2, "global_conv": 6.3e-2, "gated_conv": 1e-2, "hybrid": 1e-2},
        options={"length": 256},
        mlp_ratio=4,
        source=SWEEP_SOURCE,
    ),
    **dict.fromkeys(("sort", "number_words"), PAIRS),
    "copy": COPY,
    "reverse": REVERSE,
    "translation": TRANSLATION,
    "fashion": Preset(
        heads=8,
        steps=1000,
        rates=DIGITS_RATES,
    ),
    "table": Preset(
        heads=4,
        steps=600,
        rates=DIGITS_RATES,
        mlp_ratio=4,
        evaluations=8,
    ),
}


SERIOUS: dict[str, Preset] = QUICK | {
    "recall": replace(
        QUICK["recall"],
        steps=1200,
        options={"vocabulary": 64, "length": 48, "num_pairs": 6, "num_validation": 256},
        evaluations=20,
        source=None,
    ),
    "digits": replace(QUICK["digits"], evaluations=20),
    # Not wider: on two cores a wider model sees too few sentences in an hour to learn more.
    "translation": replace(
        TRANSLATION,
        steps=6000,
        options={
            "length": 40,
            "max_vocabulary": 2000,
            "max_pairs": 60_000,
            "num_validation": 300,
            "num_test": 1500,
        },
        evaluations=12,
    ),
    "text": replace(QUICK["text"], depth=4, heads=4, steps=900, evaluations=20, source=None),
}


OWN_DATA: dict[str, dict[str, Any]] = {"text": {"steps": 480, "evaluations": 8, "source": None}}
"""What differs on a user's own data from the task of the same kind that ships: more steps, as its rates are a guess."""


def is_serious(budget_seconds: float | None) -> bool:
    """Whether the budget has the larger defaults."""
    return budget_seconds is not None and budget_seconds >= SERIOUS_BUDGET_SECONDS


def preset_for(kind: str, budget_seconds: float | None, *, own_data: bool = False) -> Preset:
    """The preset of a kind of task at this budget; ``budget_seconds`` None: no budget was given."""
    if is_serious(budget_seconds):
        return replace(SERIOUS[kind], source=None) if own_data else SERIOUS[kind]
    return replace(QUICK[kind], **OWN_DATA.get(kind, {})) if own_data else QUICK[kind]
