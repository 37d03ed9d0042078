"""Probes: how the tokens of any torch.nn.Module affect each other. The module is never changed."""

from globalconv.probes.causality import Causality, causality
from globalconv.probes.content import ContentDependence, content_dependence
from globalconv.probes.equivariance import Equivariance, equivariance
from globalconv.probes.interaction import Interaction, interaction
from globalconv.probes.jacobian import TokenJacobian, token_jacobian
from globalconv.probes.order import InteractionOrder, interaction_order
from globalconv.probes.position import PositionAwareness, position_awareness
from globalconv.probes.reach import Reach, reach
from globalconv.probes.subject import Subject, subject_of

__all__ = [
    "Causality",
    "ContentDependence",
    "Equivariance",
    "Interaction",
    "InteractionOrder",
    "PositionAwareness",
    "Reach",
    "Subject",
    "TokenJacobian",
    "causality",
    "content_dependence",
    "equivariance",
    "interaction",
    "interaction_order",
    "position_awareness",
    "reach",
    "subject_of",
    "token_jacobian",
]
