"""The findings as JSON data."""

import math
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from globalconv.probing.questions import Findings
from globalconv.probing.target import ProbeRequest, Target
from globalconv.version import __version__

QUESTION = "What do a model's tokens do to each other?"


def record(target: Target, request: ProbeRequest, findings: Findings) -> dict[str, Any]:
    """All findings: sentences, numbers, and a description of the subject."""
    return {
        "question": QUESTION,
        "globalconv": __version__,
        "subject": request.subject,
        "what": target.what,
        "inputs": list(target.inputs.shape),
        "seed": request.seed,
        "results": {name: plain(result) for name, result in findings.results.items()},
        "not_asked": findings.not_asked,
        "interaction_order_by_depth": plain(findings.orders),
        "interactions_after_layers": plain(findings.maps),
        "content_dependence_of_mixers": plain(findings.contents),
    }


def plain(value: Any) -> Any:
    """A result as JSON data: its fields and its line; numbers to six digits; None for NaN and infinity."""
    if is_dataclass(value) and not isinstance(value, type):
        line = {"line": value.line} if hasattr(value, "line") else {}
        return {**line, **{field.name: plain(getattr(value, field.name)) for field in fields(value)}}
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
