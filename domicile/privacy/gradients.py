"""The sum of all rows' gradients, each clipped by itself.

Shapes: B rows of a batch.
"""

from __future__ import annotations

import warnings
from types import TracebackType

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping

from domicile.learning.task import Task


class ClippedGradients:
    """Attached to a module for the length of a round.

    Linear layers and embeddings are clipped by ghost clipping (Li et al. 2022), which never makes a row's gradient;
    others by fast gradient clipping (Lee and Kifer 2020), one layer at a time.
    """

    def __init__(self, module: torch.nn.Module, max_grad_norm: float) -> None:
        """Raises:
        NotImplementedError: a layer keeps something of the rows beside its parameters.
        """
        self.parameters = [one for one in module.parameters() if one.requires_grad]
        self._module = module
        self._warnings = warnings.catch_warnings()
        self._max_grad_norm = max_grad_norm
        # "sum": what comes in at the top is each row's own gradient already, and no mean over the batch.
        self._hooked = GradSampleModuleFastGradientClipping(module, loss_reduction="sum", max_grad_norm=max_grad_norm)

    def __enter__(self) -> ClippedGradients:
        self._warnings.__enter__()
        # That the rows themselves need no gradient is meant.
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._forget()
        self._hooked.to_standard_module()
        self._warnings.__exit__(kind, exc, at)

    def sum(self, task: Task, inputs_B: torch.Tensor, targets_B: torch.Tensor) -> torch.Tensor:
        """Leaves the sum in the parameters' ``grad``; the rows' norms before clipping, shape ``(B,)``.

        A row whose gradient is not finite counts as none, whatever it holds: what no norm bounds, no noise covers.
        """
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        if not len(inputs_B):
            return torch.zeros(0)
        outputs_B = self._forward(inputs_B)
        slopes_B = _slopes(task, outputs_B, targets_B)
        norms_B = self._norms(outputs_B, slopes_B)
        bounded_B = torch.isfinite(norms_B)
        if not bool(bounded_B.all()):
            self.sum(task, inputs_B[bounded_B], targets_B[bounded_B])
            return norms_B
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        factors_B = self._hooked.get_clipping_coef().reshape(-1, *[1] * (outputs_B.ndim - 1))
        self._hooked.disable_hooks()
        outputs_B.backward(factors_B * slopes_B)  # type: ignore[no-untyped-call]
        return norms_B

    def _forward(self, inputs_B: torch.Tensor) -> torch.Tensor:
        self._forget()
        for parameter in self.parameters:
            # A parameter that a pass does not use keeps the norms of the pass before.
            parameter._norm_sample = torch.zeros(len(inputs_B))  # type: ignore[attr-defined]
        self._hooked.enable_hooks()
        outputs_B: torch.Tensor = self._hooked(inputs_B)
        return outputs_B

    def _norms(self, outputs_B: torch.Tensor, slopes_B: torch.Tensor) -> torch.Tensor:
        outputs_B.backward(slopes_B, retain_graph=True)  # type: ignore[no-untyped-call]
        norms_B: torch.Tensor = self._hooked.get_norm_sample().detach()
        return norms_B

    def _forget(self) -> None:
        """What a layer noted of rows that never reached the output."""
        for layer in self._module.modules():
            for name in ("activations", "max_batch_len"):
                if hasattr(layer, name):
                    delattr(layer, name)


def _slopes(task: Task, outputs_B: torch.Tensor, targets_B: torch.Tensor) -> torch.Tensor:
    """Gradient of each row's own loss by that row's output.

    The task's code is given one row at a time and none of the graph behind it, so that nothing in it can tie rows
    together, or reach the parameters by another way than the outputs.
    """

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return task.loss(output[None], target[None])

    slopes_B: torch.Tensor = torch.func.vmap(torch.func.grad(loss))(outputs_B.detach(), targets_B)
    return slopes_B
