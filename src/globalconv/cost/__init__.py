"""What a mixer costs: formulas, counts that check them, and measurements on this machine."""

from globalconv.cost.counting import FORMULAS, Counts, count, count_passes, kept_bytes
from globalconv.cost.cross import cross_cost
from globalconv.cost.ledger import Ledger, Operation
from globalconv.cost.measuring import CostCurve, Timing, grow_curves, measure_cost
from globalconv.cost.memory import peak_bytes, peak_tensor_bytes
from globalconv.cost.mixers import Cost, mixer_cost
from globalconv.cost.models import model_cost

__all__ = [
    "FORMULAS",
    "Cost",
    "CostCurve",
    "Counts",
    "Ledger",
    "Operation",
    "Timing",
    "count",
    "count_passes",
    "cross_cost",
    "grow_curves",
    "kept_bytes",
    "measure_cost",
    "mixer_cost",
    "model_cost",
    "peak_bytes",
    "peak_tensor_bytes",
]
