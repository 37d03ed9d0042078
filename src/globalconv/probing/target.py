"""Load what is probed: a mixer, a run or your own model, with inputs."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError, unknown_name
from globalconv.host.devices import device_memory
from globalconv.mixers import MIXERS, Mixer, build_mixer
from globalconv.mixers.catalogue import is_outside, takes_option
from globalconv.models import EncoderDecoder, Stack
from globalconv.models.concatenated_encoder_decoder import crossings
from globalconv.options import LARGEST_LENGTH, LARGEST_WIDTH, SEEDS, check_range
from globalconv.probes.memory import MEMORY
from globalconv.probes.reach import find_layers
from globalconv.probing.bare_stack import BareStack
from globalconv.registry.current_folder import import_named
from globalconv.registry.spelling import spelled
from globalconv.study.runs.examples import joined_pairs, unpadded_examples
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.runs.trained import load_model, read_spec
from globalconv.study.spec import ModelSpec, RunSpec
from globalconv.tasks import SequenceToSequence

EXAMPLES = 4
MLP_RATIO = 4
"""Hidden width of a block's channel MLP, relative to the model's width."""
DOUBLE, GB = 8, 1e9
HOLDS = ", the longest inputs that --memory holds"
FIRST_TOKENS = 64
"""The tokens of a causal run's examples that are probed: later ones cannot change them, and the time grows with the
square of the length."""
DEPTH, LENGTH, WIDTH = 4, 16, 16
"""Default sizes of a mixer's stack. They are small, because the answers do not depend on them."""
DIRECT_SUM = 64
"""Up to this length convolutions are computed as direct sums, so that the future's influence is exactly zero."""


USUAL_MEMORY = 4e9
"""Bytes; the limit is half of the free memory if that is less."""


@dataclass(frozen=True)
class ProbeRequest:
    """What to probe, and how; None: the default, or the model's own value.

    ``bare``: probe layers of a mixer with GELUs between them instead of whole blocks. ``positions``: the position
    encoding of attention, "rotary", "learned" or "none". ``memory`` in bytes.
    """

    subject: str
    depth: int | None = None
    length: int | None = None
    width: int | None = None
    vocabulary: int | None = None
    causal: bool = False
    at: str | None = None
    limit: int = 10
    bare: bool = False
    positions: str | None = None
    seed: int = 0
    memory: float = MEMORY
    budget_seconds: float = 300.0
    device: str = "auto"


@dataclass(frozen=True)
class Target:
    """A model and the inputs at which it is probed.

    ``layers`` and ``mixers`` name its blocks and, if known, the mixing layer in each. ``crossings`` are the cross
    mixers, as modules of one sequence, with their inputs. ``meaningless``: a probe's name -> why it is not run on this
    model.
    """

    name: str
    what: str
    model: nn.Module
    inputs: Tensor
    layers: tuple[str, ...]
    mixers: tuple[str, ...]
    crossings: tuple[tuple[nn.Module, Tensor], ...] = ()
    meaningless: Mapping[str, str] = field(default_factory=dict)


def find_target(request: ProbeRequest) -> Target:
    """The requested model: a mixer's name, a run's directory, or module:attribute.

    With ``at``, that submodule is its only layer. Raises InputError for anything else, for options that do not apply,
    and for missing options. Random numbers drawn while the user's code is loaded follow the seed, too.
    """
    _check_numbers(request)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        target = _found(request)
    if request.at is None:
        return target
    name, part = f"{target.name}, {request.at}", (request.at,)
    return replace(target, name=name, layers=part, mixers=part, crossings=(), meaningless={})


def _found(request: ProbeRequest) -> Target:
    subject = request.subject
    if is_mixer(subject):
        return _stack(subject, request)
    if Path(subject).exists():
        _refuse(request, "a run", depth=request.depth, width=request.width)
        _refuse(request, "a run", vocabulary=request.vocabulary, causal=request.causal or None)
        _refuse(request, "a run", bare=request.bare or None, positions=request.positions)
        return _trained(Path(subject), request)
    if ":" in subject:
        _refuse(request, "your own module", depth=request.depth, causal=request.causal or None)
        _refuse(request, "your own module", bare=request.bare or None, positions=request.positions)
        return _yours(subject, request)
    if "/" in subject or "\\" in subject:
        raise InputError(
            f"there is no directory '{subject}'. Give the directory of a run, which holds a spec.json."
        )
    raise unknown_name("mixer, run directory or module:attribute", subject, MIXERS)


def is_mixer(subject: str) -> bool:
    """Whether ``subject`` names a mixer, in this package or outside (package.module:Class)."""
    bare = spelled(subject).name if subject.endswith("]") else subject
    if bare in MIXERS:
        return True
    return ":" in bare and inspect.isclass(found := _attribute(bare)) and issubclass(found, Mixer)


def mixers_for(name: str, number: int, request: ProbeRequest) -> list[Mixer]:
    """``number`` mixers of one kind at the sizes asked for, drawn from the request's seed."""
    width, length = request.width or WIDTH, request.length or LENGTH
    options = _exact_options(name, length)
    if request.positions is not None and takes_option(name, "positions"):
        options["positions"] = request.positions
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        return [
            build_mixer(name, width, length, causal=request.causal, options=options) for _ in range(number)
        ]


def drawn_inputs(request: ProbeRequest) -> Tensor:
    """Standard normal values (EXAMPLES, length, width), or uniform tokens if there is a vocabulary."""
    generator = torch.Generator().manual_seed(request.seed)
    length = request.length or LENGTH
    if request.vocabulary is not None:
        return torch.randint(request.vocabulary, (EXAMPLES, length), generator=generator)
    return torch.randn(EXAMPLES, length, request.width or WIDTH, generator=generator)


def _stack(name: str, request: ProbeRequest) -> Target:
    _refuse(request, "a mixer", vocabulary=request.vocabulary, at=request.at)
    depth = request.depth or DEPTH
    _check_sizes(name, depth, request)
    mixers, inputs = mixers_for(name, depth, request), drawn_inputs(request)
    s = "s" * (depth != 1)
    of = (
        f"layer{s} of {name} alone (no norm, residual or channel MLP{', with GELUs between' * (depth > 1)})"
        if request.bare
        else f"block{s} of {name} (norm, mixer, norm, channel MLP)"
    )
    what = (
        f"{depth} untrained {of}, length {mixers[0].length}, width {mixers[0].width}, "
        f"{'causal' if request.causal else 'not causal'}, at normal inputs"
    )
    if request.bare:
        layers = tuple(f"mixers.{number}" for number in range(depth))
        return Target(name, what, BareStack(mixers, F.gelu, inputs).eval(), inputs, layers, layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        model = Stack(mixers, mlp_width=MLP_RATIO * mixers[0].width)
    return _target(name, what, model, inputs, "blocks.{}", ".mixer")


def _check_numbers(request: ProbeRequest) -> None:
    """Raise InputError for numbers that no machine could use, in the command line's units."""
    check_range("--seed", request.seed, *SEEDS)
    # The default must never be refused, even on a machine with little memory.
    most = max(device_memory(request.device), MEMORY)
    check_range("--memory", request.memory / GB, 0.01, most / GB, why=" GB")
    for option, size, most in (
        ("--length", request.length, LARGEST_LENGTH),
        ("--width", request.width, LARGEST_WIDTH),
        ("--vocabulary", request.vocabulary, LARGEST_LENGTH),
    ):
        if size is not None:
            check_range(option, size, 1, most)
    each = (1 if request.vocabulary else request.width or WIDTH) * EXAMPLES * DOUBLE
    check_range("--length", request.length or LENGTH, 1, request.memory / each, why=HOLDS)


def _check_sizes(name: str, depth: int, request: ProbeRequest) -> None:
    """Raise InputError if the weights of a built-in mixer do not fit; those of others are unknown until built."""
    if is_outside(name):
        return
    width = request.width or WIDTH
    with torch.device("meta"):
        (mixer,) = mixers_for(name, 1, request)
    needed = DOUBLE * depth * (sum(p.numel() for p in mixer.parameters()) + 2 * MLP_RATIO * width**2)
    if needed > request.memory:
        raise InputError(
            f"{depth} blocks of {name} at length {mixer.length} and width {width} have {format_bytes(needed)} of "
            f"weights, but --memory is {format_bytes(request.memory)}. Give a smaller --length, --width or --depth, or "
            "more --memory."
        )


def _trained(path: Path, request: ProbeRequest) -> Target:
    spec = read_spec(path)
    task = rebuild_task(spec.task)
    model = load_model(path, _exact_model(spec.model, task.signature.length), task.signature)
    if isinstance(model, EncoderDecoder):
        assert isinstance(task, SequenceToSequence)
        return _trained_on_pairs(model, task, spec, request)
    inputs = unpadded_examples(task, EXAMPLES)
    what = (
        f"the run {spec.name}: {spec.arm} trained on {spec.task.name}, depth {len(spec.model.mixers)}, length "
        f"{task.signature.length}, width {spec.model.width}, at examples of its validation split"
    )
    if task.signature.causal:
        inputs = inputs[:, : request.length or FIRST_TOKENS]
        what += f" (the first {inputs.shape[1]} tokens)"
    elif request.length is not None:
        raise InputError("--length is only for runs of causal models, whose inputs can be cut. Leave it out.")
    return _target(f"{spec.arm} on {spec.task.name}", what, model, inputs, "stack.blocks.{}", ".mixer")


def _trained_on_pairs(
    model: EncoderDecoder, task: SequenceToSequence, spec: RunSpec, request: ProbeRequest
) -> Target:
    joined, inputs, _ = joined_pairs(model, task, EXAMPLES, longest=request.length or FIRST_TOKENS)
    source, target = joined.source_length, inputs.shape[1] - joined.source_length
    if request.length is not None and source > request.length:
        raise InputError(
            f"--length {request.length}: a source cannot be cut, and the shortest one has {source} tokens. "
            f"Give at least --length {source}, or leave it out."
        )
    what = (
        f"the run {spec.name}: {spec.arm} trained on {spec.task.name}, {len(model.encoder.blocks)} encoder and "
        f"{len(model.decoder.blocks)} decoder blocks, width {spec.model.width}, at pairs of its validation split, as "
        f"one sequence: {source} tokens of the source, then {target} of the target"
    )
    return Target(
        f"{spec.arm} on {spec.task.name}",
        what,
        joined.eval(),
        inputs,
        tuple(f"layers.{number}" for number in range(len(joined.layers))),
        tuple(name for _, name in joined.mixer_names),
        crossings=tuple(crossings(joined, inputs)),
        meaningless=dict.fromkeys(
            ("shifts", "permutations", "positions"),
            "it moves tokens along the sequence, but this one is a source followed by its target: probe a part with "
            "--at model.encoder.blocks.0.mixer",
        ),
    )


def _yours(subject: str, request: ProbeRequest) -> Target:
    found = _attribute(subject)
    if not isinstance(found, nn.Module):
        found = _called(subject, found)
    if (request.width is None) == (request.vocabulary is None) or request.length is None:
        raise InputError(
            f"the input of '{subject}' is unknown: give --length and --width for values (batch, length, width), or "
            "--length and --vocabulary for tokens (batch, length)."
        )
    takes = (
        f"width {request.width}" if request.vocabulary is None else f"{request.vocabulary} different tokens"
    )
    what = f"{type(found).__name__} of {subject}, at random inputs of length {request.length}, {takes}"
    layers = tuple(find_layers(found))
    return Target(subject, what, found, drawn_inputs(request), layers, layers)


def _called(subject: str, found: object) -> nn.Module:
    if not callable(found):
        raise InputError(
            f"'{subject}' is a {type(found).__name__}. Give a torch.nn.Module, or a function that returns one."
        )
    build: Callable[[], object] = found
    try:
        made = build()
    except Exception as error:
        raise InputError(
            f"'{subject}' is not a module, and calling it without arguments failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"'{subject}' returns a {type(made).__name__}. Make it return a torch.nn.Module.")
    return made


def _attribute(subject: str) -> object:
    module, _, attribute = subject.partition(":")
    try:
        found: object = import_named(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"cannot load '{subject}': {error}. Write it as package.module:attribute, with the module importable "
            "from here (installed, or on PYTHONPATH)."
        ) from error
    return found


def _target(name: str, what: str, model: nn.Module, inputs: Tensor, block: str, mixer: str) -> Target:
    stack = model if isinstance(model, Stack) else model.get_submodule("stack")
    assert isinstance(stack, Stack)
    layers = tuple(block.format(number) for number in range(len(stack.blocks)))
    return Target(name, what, model.eval(), inputs, layers, tuple(layer + mixer for layer in layers))


def _exact_options(name: str, length: int) -> dict[str, str]:
    """For a mixer with a backend: one with second derivatives for all shapes that compiles nothing."""
    exact = "reference" if length <= DIRECT_SUM else "spectral"
    return {"backend": exact} if takes_option(name, "backend") else {}


def _exact_model(spec: ModelSpec, length: int) -> ModelSpec:
    options = {
        name: {**spec.mixer_options.get(name, {}), **_exact_options(name, length)}
        for name in set(spec.all_mixers)
    }
    return spec.model_copy(update={"mixer_options": options})


def _refuse(request: ProbeRequest, kind: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name} does not apply to {kind} ('{request.subject}'). Leave it out.")
