"""Sums whose order of additions is written down, so that every machine comes to the same bits.

A library's sum or dot product adds in the order that suits the processor. Here a vector is folded onto its first half
until one value is left: element-wise additions alone, which IEEE 754 fixes, with an error that grows with the
logarithm of the length. Shapes: B vectors, T values each.
"""

from __future__ import annotations

import torch


def fold_to(values_BT: torch.Tensor, width: int) -> torch.Tensor:
    """Adds columns onto columns until `width` are left; works in place, the result is a view ``(B, width)``."""
    num_columns = values_BT.shape[1]
    while num_columns > width:
        kept = max((num_columns + 1) // 2, width)
        values_BT[:, : num_columns - kept].add_(values_BT[:, kept:num_columns])
        num_columns = kept
    return values_BT[:, :num_columns]


def ordered_sum(values_T: torch.Tensor) -> float:
    """The sum of a vector, which is used up; 0 for an empty one."""
    return float(fold_to(values_T.unsqueeze(0), 1)[0, 0]) if values_T.numel() else 0.0
