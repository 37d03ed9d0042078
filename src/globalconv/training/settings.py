"""How a model is trained: every number that the loop needs, and nothing about the model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["no", "bf16", "fp16"]
Schedule = Literal["cosine", "inverse_sqrt"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainingSettings(BaseModel):
    """AdamW over a fixed number of steps; by default with a linear warm-up and a cosine to zero.

    Always steps, never seconds: a machine's speed drifts, and a schedule must not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    taps_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    """The taps' learning rate, as a multiple of the others'."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """On matrices only: never on taps, biases, norms, embeddings."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Fraction of the steps in which the learning rate rises from zero."""
    schedule: Schedule = "cosine"
    """What follows the warm-up (``globalconv.training.schedule``)."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In training only: evaluations tell the plain loss."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """The largest norm of all gradients together; None: any."""
    evaluations: Annotated[int, Field(ge=1)] = 20
    """How often the validation split is scored, evenly spaced; the last one at the last step."""
    precision: Precision = "no"
    """Mixed precision, as Accelerate names it."""

    def evaluation_steps(self) -> list[int]:
        """The steps (counted from 1) after which the model is validated."""
        times = min(self.evaluations, self.steps)
        return [round(self.steps * (k + 1) / times) for k in range(times)]
