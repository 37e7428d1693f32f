"""The Judgment & Correction Mechanism (MediRound, Algorithm 1): two MLPs on the projected `SEG` feature."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class _ThreeLayerMlp(nn.Module):
    """Linear - GELU - Linear - GELU - Linear; attribute names are those of the released checkpoints."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, outputs)

    def forward(self, feature: Tensor) -> Tensor:
        hidden = functional.gelu(self.fc1(feature))
        hidden = functional.gelu(self.fc2(hidden))
        out: Tensor = self.fc3(hidden)
        return out


class Judge(_ThreeLayerMlp):
    """Scores a feature: the IoU that its mask is expected to reach."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__(dim, width, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, dim) features to (N,) scores in [0, 1]."""
        return torch.sigmoid(super().forward(feature)).squeeze(-1)


class Corrector(_ThreeLayerMlp):
    """Rewrites a poor feature: (N, dim) to (N, dim)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__(dim, width, dim)
