"""Whether a subject is smooth: read from the operations that autograd would go back through."""

import re

import torch

from globalconv.probes.subject import Subject

KINKED = {
    name.lower(): name
    for name in (
        *("Relu", "LeakyRelu", "Rrelu", "Prelu", "Threshold", "Hardtanh", "Hardsigmoid", "Hardswish", "Hardshrink"),
        *("Softshrink", "Abs", "Sign", "Round", "Floor", "Ceil", "Clamp", "ClampMin", "ClampMax", "Maximum", "Minimum"),
        *("Max", "Min", "Amax", "Amin", "Sort", "Topk", "Cummax", "Median"),
    )
}
"""Operations that are not smooth, or whose second derivative is zero almost everywhere, by autograd's names."""


def kinks(subject: Subject) -> list[str]:
    """The operations between the subject's vectors and its output that have kinks, by name; none: it is smooth."""
    with torch.enable_grad():
        output = subject.function(subject.points[:1].detach().requires_grad_())
    found, waiting, seen = set(), [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = re.sub(r"(Kernel|WithIndices|WithNoise)?Backward\d*$", "", node.name()).lower()
        if name in KINKED or re.match(r"(adaptive)?max_?pool|maxpool", name):
            found.add(KINKED.get(name, "MaxPool"))
        waiting.extend(following for following, _ in node.next_functions)
    return sorted(found)
