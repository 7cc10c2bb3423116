"""The aggregator daemon's configuration: one TOML file, checked at start."""

from __future__ import annotations

from pydantic import Field

from domicile.party import PartySettings
from domicile.settings import Settings


class AggregatorJobs(Settings):
    """How many finished rounds stay in the stores, so that late parties and audits can still read them."""

    kept_rounds: int = Field(default=2, ge=1)


class AggregatorConfig(PartySettings):
    """Everything that an aggregator daemon needs to know; secrets come from files or the environment.

    The committees that it serves on follow from the chain: those of each job that list its account.
    """

    jobs: AggregatorJobs = AggregatorJobs()
