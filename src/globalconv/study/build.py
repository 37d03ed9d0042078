"""From a spec to a model, and the sizes at which arms spend the same budget."""

import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import build_mixer
from globalconv.models import Classifier, EncoderDecoder, LanguageModel, build_encoder_decoder
from globalconv.models.original import Size
from globalconv.study.spec import Match, ModelSpec
from globalconv.tasks.base import Signature

WIDEST_MLP_RATIO = 32
NARROWEST_MLP_RATIO = 1
"""An arm whose channel MLP is narrower than the model is a cripple, and no rival of anyone."""
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
    with torch.device("meta"):
        model = build_model(spec, signature)
    return count_parameters(model), model.flops(signature.length) / signature.length


def match_models(
    models: dict[str, ModelSpec], rival: str, signature: Signature, *, on: Match, mlp_ratio: int
) -> tuple[dict[str, ModelSpec], int]:
    """All arms' models at the budget of the rival, whose channel MLP is ``mlp_ratio`` times its width.

    Where a mixer outweighs the rival's (a free filter has length x width taps) so far that it would be
    left with an MLP narrower than the model, the ratio is doubled until every arm fits. Returns the
    models and the ratio; raises InputError if none is enough.
    """
    while True:
        rival_model = models[rival].model_copy(update={"mlp_width": mlp_ratio * models[rival].width})
        target = sizes(rival_model, signature)[1 if on == "flops" else 0]
        last = 2 * mlp_ratio > WIDEST_MLP_RATIO
        try:
            matched = {
                arm: rival_model if arm == rival else match_mlp_width(model, target, signature, on=on)
                for arm, model in models.items()
            }
        except InputError:
            if last:
                raise
        else:
            narrowest = min(model.mlp_width / model.width for model in matched.values())
            if last or narrowest >= NARROWEST_MLP_RATIO:
                return matched, mlp_ratio
        mlp_ratio *= 2


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
            f"{reached:,.0f}. Use a larger --width, a shorter --length, --match "
            f"{'parameters' if on == 'flops' else 'flops'}, or leave the arm out with --arms."
        )
    return arm.model_copy(update={"mlp_width": mlp_width})
