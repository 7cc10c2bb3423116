"""What a job says about data splits, local training and merging."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from domicile.settings import Settings

ADAPTIVE = ("fedadam", "fedyogi", "fedadagrad")

Aggregation = Literal["plain", "secure", "robust"]
"""How a shard's updates become one: by their mean, by their sum that alone is seen, or by a robust rule."""


class DataSettings(Settings):
    """`test_fraction` applies only where a node has no test file; `validation_fraction` is a part of the rest.

    `stratified`: each class is held out by the same fractions. Where it is not, a row's number alone decides its part.
    """

    test_fraction: float = Field(default=0.2, gt=0, lt=1, allow_inf_nan=False)
    validation_fraction: float = Field(default=0.2, ge=0, lt=1, allow_inf_nan=False)
    stratified: bool = True


class TrainingSettings(Settings):
    """Local training of one regional round: either `epochs` or `steps` (gradient steps).

    `proximal_mu` is FedProx's µ (Li et al. 2020, equation 2); 0 switches it off. `momentum` is for ``sgd`` only.
    """

    epochs: int | None = Field(default=None, ge=1, le=10_000)
    steps: int | None = Field(default=None, ge=1, le=10_000_000)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0, le=1000, allow_inf_nan=False)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1000, allow_inf_nan=False)
    batch_size: int = Field(default=32, ge=1, le=1 << 20)
    proximal_mu: float = Field(default=0.0, ge=0, le=1000, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("both epochs and steps are given; keep one of them")
        if self.epochs is None and self.steps is None:
            raise ValueError("neither epochs nor steps is given; add one of them")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum has no meaning for {self.optimizer}; remove it or use sgd")
        return self

    def num_steps(self, num_examples: int) -> int:
        """Gradient steps that a round takes on so many training rows."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 1) * -(-num_examples // self.batch_size)


class MergingSettings(Settings):
    """FedAvg (McMahan et al. 2017), FedAvgM (Hsu et al. 2019), FedAdagrad, FedYogi, FedAdam (Reddi et al. 2021).

    `momentum` belongs to ``fedavgm``; `beta1`, `beta2` and `tau` to the adaptive ones (`beta2` not to ``fedadagrad``).
    """

    strategy: Literal["fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad"] = "fedavg"
    weighting: Literal["samples", "uniform"] = "samples"
    server_learning_rate: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)
    tau: float = Field(default=1e-3, gt=0, le=1, allow_inf_nan=False)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the server optimiser's states, each as large as the model."""
        if self.strategy == "fedavg":
            return ()
        return ("momentum", "variance") if self.strategy in ADAPTIVE else ("momentum",)
