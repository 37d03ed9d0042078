"""Training: one short loop on Accelerate, parameter groups, checkpoints."""

from globalconv.training.fit import Evaluation, FitResult, fit, load_best
from globalconv.training.settings import TrainingSettings

__all__ = ["Evaluation", "FitResult", "TrainingSettings", "fit", "load_best"]
