"""Checks of every arm before anything is measured: its mixers keep their promises and do not look ahead.

The checks draw weights and inputs of their own, and leave the global generator as it was.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters import Filter
from globalconv.host.devices import resolve_device
from globalconv.mixers import Mixer, build_mixer
from globalconv.mixers.catalogue import is_outside
from globalconv.mixers.smoke_test import check_promises
from globalconv.models import Classifier, EncoderDecoder, LanguageModel
from globalconv.models.cross_mixer import CrossMixer
from globalconv.registry.outside import code_of
from globalconv.study.design.build import build_model
from globalconv.study.spec import ModelSpec
from globalconv.tasks.base import Signature

LONGEST = 30.0
LONGEST_AT_LENGTH = 120.0
"""The seconds that the check of a mixer from outside may take: on a few tokens, and at the study's length."""
ROUNDING = 1e-4
"""Smaller changes, as a share of the largest output, are rounding. Float32 transforms leave about 1e-6; a mixer that
looks ahead changes 0.01 or more."""
LOOKING_SECONDS = 0.25
"""The time limit for one setting, once FEWEST_PLACES have been tried."""
FEWEST_PLACES = 6
MOST_PLACES = 512
SHORT = 33
"""Tokens of the shorter input."""


def check_outside_mixers(
    models: Mapping[str, ModelSpec], signature: Signature, *, device: str = "auto"
) -> None:
    """Try each arm's mixers from outside the package on a few tokens, before sizes are solved with them.

    Raises InputError for the first promise of ``Mixer`` that one breaks, with the user's own frames.
    """
    device = resolve_device(device)
    for model in models.values():
        sides = [(model.mixers, signature.causal)]
        if model.decoder is not None:
            sides = [(model.mixers, False), (model.decoder.mixers, True)]
        for names, causal in sides:
            for name in sorted(filter(is_outside, set(names))):
                shape, options = (model.width, signature.length, causal), model.mixer_options.get(name)
                build = partial(_built, name, shape, options, device)
                tried = code_of(name, doing="was tried on a few tokens", seconds=LONGEST)
                with _own_randomness(device), tried:
                    check_promises(build, name, shape, device=device)


def _built(name: str, shape: tuple[int, int, bool], options: Mapping[str, Any] | None, device: str) -> Mixer:
    width, length, causal = shape
    return build_mixer(name, width, length, causal=causal, options=options).to(device)


def check_arms(models: Mapping[str, ModelSpec], signature: Signature, *, device: str = "auto") -> None:
    """Raise InputError for an arm with a causal part that sees later tokens, or a part that mixes the rows of a batch.

    Token and cross mixers are taken from the arms' own models, at the study's sizes. They are tried with initial and
    with moved weights, in training and in eval mode, at the study's length and at a shorter one. Each time all tokens
    behind some place are replaced, for the ends first and then for as many places as time allows. A mixer that looks
    ahead at every second token is found; one that does so at one token among thousands may not be.
    """
    device = resolve_device(device)
    looked_at = set()
    for arm, model in models.items():
        with _own_randomness(device):
            built = build_model(model, signature).to(device)
            for name, causal, part in _parts(built, model):
                kind = (name, causal, type(part), model.width, signature.length)
                if kind in looked_at:
                    continue
                looked_at.add(kind)
                tried = code_of(
                    name, doing=f"was tried on {signature.length} tokens", seconds=LONGEST_AT_LENGTH
                )
                with tried if _is_from_outside(part) else nullcontext():
                    found = _leak(part, model.width, signature.length, causal=causal, device=device)
                if found is not None:
                    raise InputError(f"arm '{arm}' is refused: {name} {found}")


@contextmanager
def _own_randomness(device: str) -> Iterator[None]:
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(0)
        yield


def _parts(built: nn.Module, model: ModelSpec) -> Iterator[tuple[str, bool, nn.Module]]:
    """(name, whether the future is hidden from it, module) of whatever moves information between tokens."""
    assert isinstance(built, Classifier | LanguageModel | EncoderDecoder)
    mixers = built.mixers if isinstance(built, EncoderDecoder) else built.stack.mixers
    for name, mixer in zip(model.all_mixers, mixers, strict=True):
        yield name, mixer.causal, mixer
    if isinstance(built, EncoderDecoder):
        assert model.decoder is not None
        yield f"cross mixer {model.decoder.cross}", True, built.cross_mixers[0]


def _leak(part: nn.Module, width: int, length: int, *, causal: bool, device: str) -> str | None:
    """A phrase that says what an output of ``part`` wrongly depends on; None if nothing was found."""
    ours = not _is_from_outside(part)
    short = min(SHORT, length - 1)
    for moved in (False, True):
        if moved:
            _move(part)
        at_length = [] if moved and ours else [(not moved, length, 2)]
        for training, tokens, rows in (*at_length, (True, short, 3), (False, short, 1)):
            if tokens < 1:
                continue
            look = _Look(part.train(training), width, tokens, rows, device)
            if (found := look.found(causal=causal)) is not None:
                where = "" if tokens == length else f", where the input has {tokens} tokens"
                return f"{found} (in {'training' if training else 'eval'} mode{where}). {_FIX[causal]}"
    return None


def _is_from_outside(part: nn.Module) -> bool:
    """Whether ``part`` is a mixer that somebody else wrote, or has a filter that somebody else did."""
    written = [type(m).__module__ for m in part.modules() if isinstance(m, Mixer | Filter)]
    return isinstance(part, Mixer) and any(module.partition(".")[0] != "globalconv" for module in written)


_FIX = {
    True: "With causal=True no output may depend on a later token or on another row.",
    False: "No output may depend on another row of the batch.",
}


def _move(part: nn.Module) -> None:
    """Move all weights, so that what is multiplied by zero at first has an effect."""
    with torch.no_grad():
        for weight in part.parameters():
            if weight.is_floating_point() and weight.numel():
                size = float(weight.square().mean().sqrt())
                weight.add_(torch.randn_like(weight), alpha=max(0.3 * size, 0.1))


class _Look:
    """A module, an input, and what it makes of that input."""

    def __init__(self, part: nn.Module, width: int, tokens: int, rows: int, device: str) -> None:
        self.part = part
        self.x = torch.randn(rows, tokens, width, device=device)
        # Larger and off centre, so that means and maxima over the tokens move too.
        self.other = 3 * torch.randn_like(self.x) + 1
        self.memory = torch.randn_like(self.x)
        self.before = self._run(self.x)
        self.least = ROUNDING * float(self._change(self.other).max())

    def found(self, *, causal: bool) -> str | None:
        """The finding, in one or two sentences."""
        if self.least == 0:
            return None
        found = self._other_rows() or (self._future() if causal else None)
        # Noise that no seed of PyTorch's holds is no leak, though it may hide one.
        return found if self._change(self.x).max() <= self.least else None

    def _other_rows(self) -> str | None:
        for kept in {0, len(self.x) - 1} if len(self.x) > 1 else ():
            changed = self.other.clone()
            changed[kept] = self.x[kept]
            if self._change(changed)[kept].max() > self.least:
                return (
                    "mixes the rows of a batch, as batch normalisation does: a row's output depends on others"
                )
        return None

    def _future(self) -> str | None:
        rows, tokens = self.x.shape[:2]
        started = time.monotonic()
        places = _places(tokens)
        number = torch.arange(tokens, device=self.x.device)
        for first in range(0, len(places), rows):
            if first >= FEWEST_PLACES and time.monotonic() - started > LOOKING_SECONDS:
                break
            last = torch.tensor((places[first : first + rows] * rows)[:rows], device=self.x.device)
            seen = number <= last[:, None]
            change = self._change(torch.where(seen[..., None], self.x, self.other)).where(seen, 0.0)
            if change.max() > self.least:
                row, token = divmod(int(change.argmax()), tokens)
                later = self._nearest(row, token, int(last[row]))
                return f"sees the future: its output at token {token} depends on token {later}"
        return None

    def _nearest(self, row: int, token: int, last: int) -> int:
        """The first token behind ``last`` of which, with those before it, output ``token`` depends on. By halving."""
        low, high = last, self.x.shape[1] - 1
        while high - low > 1:
            middle = (low + high) // 2
            changed = self.x.clone()
            changed[row, last + 1 : middle + 1] = self.other[row, last + 1 : middle + 1]
            if self._change(changed)[row, token] > self.least:
                high = middle
            else:
                low = middle
        return high

    def _run(self, x: Tensor) -> Tensor:
        torch.manual_seed(2)  # the same dropout each time
        with torch.no_grad():
            arguments = (x.clone(), self.memory) if isinstance(self.part, CrossMixer) else (x.clone(),)
            y: Tensor = self.part(*arguments)
        if y.shape != x.shape:
            raise InputError(
                f"{type(self.part).__name__} makes {tuple(y.shape)} of {tuple(x.shape)}: the shape must stay."
            )
        return y

    def _change(self, x: Tensor) -> Tensor:
        """How far the outputs for ``x`` are from those before, (rows, tokens); NaN that stays NaN is no change."""
        after = self._run(x)
        change = torch.where(after.isnan() & self.before.isnan(), 0.0, (after - self.before).abs())
        return change.nan_to_num(nan=torch.inf).amax(dim=2)


def _places(tokens: int) -> list[int]:
    """Tokens behind which all are replaced: the last but one, the first, the middle, a third, then any."""
    ends = (tokens - 2, 0, tokens // 2 - 1, tokens // 3)
    others = torch.randperm(tokens - 1)[:MOST_PLACES].tolist()
    return [place for place in dict.fromkeys([*ends, *others]) if 0 <= place < tokens - 1]
