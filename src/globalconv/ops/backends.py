"""The rule that chooses the backend for a problem, with the reasons against the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from globalconv.errors import InputError, unknown_name
from globalconv.ops import reference, spectral
from globalconv.ops.fused_cpu import backend as fused_cpu
from globalconv.ops.interface import Backend, Facts, Mode, facts_of

# In order of preference: the first that can run, and that no later one outruns, is chosen.
# A new backend needs one file and one line here.
BACKENDS: tuple[Backend, ...] = (
    reference.BACKEND,
    fused_cpu.BACKEND,
    spectral.BACKEND,
)


@dataclass(frozen=True)
class Choice:
    """The chosen backend with the reason, and for every other backend the reason against it, by name."""

    name: str
    reason: str
    passed_over: dict[str, str]


@dataclass(frozen=True)
class Availability:
    """Whether this machine can run a backend: ``obstacle`` is None if it can, and otherwise the reason."""

    name: str
    merit: str
    obstacle: str | None


def available_backends() -> tuple[Availability, ...]:
    """Every backend, in order of preference, with its description and what prevents it on this machine."""
    return tuple(Availability(b.name, b.merit, b.unavailable()) for b in BACKENDS)


def choose_backend(
    *,
    device: str,
    dtype: torch.dtype,
    length: int,
    num_taps: int,
    mode: Mode,
    batch: int | None = None,
    width: int | None = None,
) -> Choice:
    """The backend that ``global_conv`` uses by default, from facts that are known before any tensor.

    ``device`` is a PyTorch device ("cpu", "cuda:1"), ``dtype`` the input's, ``length`` in tokens,
    ``num_taps`` the taps' last dimension (2K-1 in mode bidirectional), ``width`` in channels. ``batch`` and
    ``width`` only matter if they are small; None means that they are large.
    Raises InputError for impossible facts.
    """
    facts = facts_of(
        device=device, dtype=dtype, length=length, num_taps=num_taps, mode=mode, batch=batch, width=width
    )
    chosen, able, obstacles = _choose(facts)
    slower = {
        b.name: b.outrun(facts) or f"'{chosen.name}' is preferred for these facts"
        for b in able
        if b is not chosen
    }
    reason = "nothing faster can run this here" if chosen.outrun(facts) else chosen.merit
    return Choice(chosen.name, reason, obstacles | slower)


def backend_for(name: str | None, facts: Facts, *, gated: bool = False) -> Backend:
    """The backend ``name``, or the default for None, ready to be called; ``gated``: the call has gates.

    Raises InputError for an unknown name, or with the reason if the backend cannot compute this problem.
    """
    if name is None:
        chosen, unready = _choose(facts)[0], {}
        while (why := chosen.unready(facts.dtype, gated)) is not None:
            unready[chosen.name] = why
            chosen = _choose(facts, unready)[0]
        return chosen
    by_name = {backend.name: backend for backend in BACKENDS}
    if name not in by_name:
        raise unknown_name("backend", name, by_name)
    chosen = by_name[name]  # without querying the others
    why = _obstacle(chosen, facts) or chosen.unready(facts.dtype, gated)
    if why is not None:
        names = ", ".join(f"'{b.name}'" for b in BACKENDS if b is not chosen and _obstacle(b, facts) is None)
        raise InputError(f"backend '{name}' cannot run this: {why}. Use backend=None, or: {names}.")
    return chosen


def _choose(
    facts: Facts, unready: Mapping[str, str] = MappingProxyType({})
) -> tuple[Backend, list[Backend], dict[str, str]]:
    """The default backend, all that can run, and the obstacles of the others."""
    obstacles = {b.name: why for b in BACKENDS if (why := unready.get(b.name) or _obstacle(b, facts))}
    able = [b for b in BACKENDS if b.name not in obstacles]
    # Not "assert able": torch.compile cannot follow the truth of a list.
    assert len(able) > 0, "the direct sum can compute everything"
    chosen = next((b for b in able if b.outrun(facts) is None), able[-1])
    return chosen, able, obstacles


def _obstacle(backend: Backend, facts: Facts) -> str | None:
    return backend.unavailable() or backend.refusal(facts)
