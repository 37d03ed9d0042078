"""How a model is trained: all settings of the loop, and none of the model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["no", "bf16", "fp16"]
Schedule = Literal["cosine", "inverse_sqrt"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainingSettings(BaseModel):
    """AdamW over a fixed number of steps; by default with a linear warm-up and a cosine decay to zero.

    Everything is in steps, not seconds: a machine's speed drifts, and a schedule must not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    taps_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    """The taps' learning rate, as a multiple of the others'."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Applied to matrices only, not to taps, biases, norms or embeddings."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Fraction of the steps in which the learning rate rises from zero."""
    schedule: Schedule = "cosine"
    """The decay after the warm-up (``globalconv.training.schedule``)."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In training only: evaluations report the loss without it."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Gradients are clipped to this global norm; None: no clipping."""
    evaluations: Annotated[int, Field(ge=1)] = 20
    """Number of evaluations on the validation split, evenly spaced; the last one at the last step."""
    precision: Precision = "no"
    """Mixed precision, by Accelerate's names."""

    def evaluation_steps(self) -> list[int]:
        """The steps (counted from 1) after which the model is validated."""
        times = min(self.evaluations, self.steps)
        return [round(self.steps * (k + 1) / times) for k in range(times)]
