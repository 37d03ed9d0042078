"""From a spec to a model, and the sizes at which arms spend the same budget."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import build_mixer
from globalconv.mixers.catalogue import is_outside, takes_option
from globalconv.models import Classifier, EncoderDecoder, LanguageModel, build_encoder_decoder
from globalconv.models.encoder_decoder_designs import Size
from globalconv.registry.spelling import spelled
from globalconv.study.spec import Match, ModelSpec
from globalconv.tasks.base import Signature

NARROWEST_MLP_RATIO = 1
"""An arm whose channel MLP is narrower than the model hardly mixes channels, so that no comparison with it is fair."""
TOLERANCE = 0.02


def build_model(spec: ModelSpec, signature: Signature) -> Classifier | LanguageModel | EncoderDecoder:
    """The model of ``spec`` for a task of ``signature``; draws its weights from the global generator."""
    if signature.kind == "sequence_to_sequence":
        return _build_twin(spec, signature)
    mixers = [
        build_mixer(
            name,
            spec.width,
            signature.length,
            causal=signature.causal,
            options=spec.mixer_options.get(name),
        )
        for name in spec.mixers
    ]
    if signature.kind == "classification":
        classifier = Classifier(
            signature.num_outputs,
            mixers,
            mlp_width=spec.mlp_width,
            channels=signature.channels,
            vocabulary=signature.vocabulary,
        )
        if signature.ragged:
            classifier.stack.check_takes_lengths()
        return classifier
    assert signature.vocabulary is not None
    return LanguageModel(signature.vocabulary, mixers, mlp_width=spec.mlp_width)


def _build_twin(spec: ModelSpec, signature: Signature) -> EncoderDecoder:
    decoder, vocabulary = spec.decoder, signature.vocabulary
    assert decoder is not None
    assert vocabulary is not None
    return build_encoder_decoder(
        vocabulary,
        signature.length,
        Size(spec.width, len(spec.mixers), decoder.heads, spec.mlp_width, decoder.dropout),
        design=decoder.design,
        encoder=spec.mixers,
        decoder=decoder.mixers,
        cross=decoder.cross,
        options=spec.mixer_options,
    )


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers in a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def sizes(spec: ModelSpec, signature: Signature) -> tuple[int, float]:
    """(parameters, forward flops per token) of a model, without drawing its weights."""
    return _sizes(spec.model_dump_json(), signature)


@lru_cache(maxsize=4096)
def _sizes(spec: str, signature: Signature) -> tuple[int, float]:
    # Planning asks for the same models at every batch size, and a model takes 10 ms to build.
    parsed = ModelSpec.model_validate_json(spec)
    # Without values, but for a constructor from outside, which may look at them.
    device = "cpu" if any(map(is_outside, parsed.all_mixers)) else "meta"
    with torch.random.fork_rng(devices=[]), torch.device(device):
        model = build_model(parsed, signature)
    return count_parameters(model), model.flops(signature.length) / signature.length


def match_models(
    models: dict[str, ModelSpec], rival: str, signature: Signature, *, on: Match
) -> tuple[dict[str, ModelSpec], dict[str, str]]:
    """The arms' models at the budget of the rival, which stays as it is; and the arms that have none, with the reason.

    Where a mixer with weights per position outweighs the rival's (a free filter has length x width taps) so far that
    it would be left with a channel MLP narrower than the model, its filters are shared by channels, as attention shares
    one mixing matrix among the channels of a head: by two, four ... until the MLP is wide enough.
    """
    target = sizes(models[rival], signature)[1 if on == "flops" else 0]
    matched, unmatched = {}, {}
    for arm, model in models.items():
        if arm == rival:
            matched[arm] = model
            continue
        try:
            matched[arm] = _matched(model, target, signature, on=on)
        except InputError as error:
            unmatched[arm] = str(error)
    return matched, unmatched


def _matched(arm: ModelSpec, target: float, signature: Signature, *, on: Match) -> ModelSpec:
    refusal = None
    for candidate in _with_shared_filters(arm):
        try:
            matched = match_mlp_width(candidate, target, signature, on=on)
        except InputError as error:
            refusal = refusal or error
            continue
        if matched.mlp_width >= NARROWEST_MLP_RATIO * arm.width:
            return matched
        refusal = InputError(
            f"of the rival's budget it would be left with a channel MLP of {matched.mlp_width}, narrower than the "
            f"model, at length {signature.length} and width {arm.width}. A larger --width or a shorter "
            "sequence leaves more"
        )
    assert refusal is not None
    raise refusal


def _with_shared_filters(arm: ModelSpec) -> Iterator[ModelSpec]:
    """``arm``, and the same with filters shared by 2, 4, 8 ... channels, as far as the width can be divided."""
    yield arm
    convolutions = [name for name in dict.fromkeys(arm.all_mixers) if _can_share(name)]
    channels = 2
    while convolutions and arm.width % channels == 0:
        options = {name: arm.mixer_options.get(name, {}) for name in convolutions}
        shared = {name: own | {"num_filters": arm.width // channels} for name, own in options.items()}
        yield arm.model_copy(update={"mixer_options": arm.mixer_options | shared})
        channels *= 2


def _can_share(mixer: str) -> bool:
    """Whether channels can share a filter, and the arm does not say how many there are."""
    return takes_option(mixer, "num_filters") and "num_filters" not in spelled(mixer).options


def match_mlp_width(arm: ModelSpec, target: float, signature: Signature, *, on: Match) -> ModelSpec:
    """``arm`` with the channel MLP's width that brings its budget nearest to ``target``.

    Parameters and flops are both affine in that width, the one size every arm has and no mixer knows.
    Under ``on="seconds"`` the parameters are matched (and the steps follow from measured times). Raises
    InputError when no width comes within 2 %: the mixer alone then costs more than the whole rival.
    """
    axis = 1 if on == "flops" else 0
    unit = "flops per token" if on == "flops" else "parameters"

    def budget(mlp_width: int) -> float:
        return float(sizes(arm.model_copy(update={"mlp_width": mlp_width}), signature)[axis])

    one = budget(1)
    slope = budget(2) - one
    mlp_width = max(1, round(1 + (target - one) / slope))
    reached = budget(mlp_width)
    if abs(reached / target - 1) > TOLERANCE:
        raise InputError(
            f"{'+'.join(dict.fromkeys(arm.all_mixers))} cannot be matched to the rival's {target:,.0f} {unit} at "
            f"length {signature.length} and width {arm.width}: with a channel MLP of {mlp_width} it has "
            f"{reached:,.0f}. A larger --width, a shorter sequence, or --match "
            f"{'parameters' if on == 'flops' else 'flops'} may do"
        )
    return arm.model_copy(update={"mlp_width": mlp_width})
