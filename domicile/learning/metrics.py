"""Figures of one split; those that are not defined on it are left out."""

from __future__ import annotations

import torch


def classification(predicted: torch.Tensor, targets: torch.Tensor, scores: torch.Tensor) -> dict[str, float]:
    """`scores`: probability of class 1 for two classes, else of each class. AUC is one against rest, macro."""
    from sklearn.metrics import accuracy_score, roc_auc_score

    recalls = [float((predicted[targets == label] == label).float().mean()) for label in torch.unique(targets)]
    figures = {
        "accuracy": float(accuracy_score(targets.numpy(), predicted.numpy())),
        "balanced_accuracy": sum(recalls) / len(recalls),
    }
    num_classes = 2 if scores.ndim == 1 else scores.shape[1]
    if len(recalls) == num_classes:
        figures["auc"] = (
            float(roc_auc_score(targets.numpy(), scores.double().numpy(), multi_class="ovr"))
            if (num_classes == 2)
            else _macro_auc(targets, scores)
        )
    return figures


def regression(predicted: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """RMSE and MAE in the target's unit; R² where the targets differ."""
    error = (predicted - targets).double()
    figures = {"rmse": float(error.square().mean().sqrt()), "mae": float(error.abs().mean())}
    spread = float((targets.double() - targets.double().mean()).square().sum())
    if spread > 0:
        figures["r2"] = 1 - float(error.square().sum()) / spread
    return figures


def _macro_auc(targets: torch.Tensor, scores: torch.Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    parts = [roc_auc_score((targets == label).numpy(), scores[:, label].numpy()) for label in range(scores.shape[1])]
    return float(sum(parts) / len(parts))
