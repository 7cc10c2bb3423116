"""A job's first global round, as its parties' daemons would bring it about."""

from __future__ import annotations

from domicile.protocol.proposal import GlobalProposal, RegionalProposal
from domicile.types import Digest, JobId, ShardIndex
from tests.verbs.job_ground import DIGEST, HOSPITALS, Region, commit

MEMBERS = ("eu-agg", "us-agg")
"""By shard."""


def vote(region: Region, job: JobId, shard: int) -> None:
    """What the committee's member does once it has merged the first round."""
    proposal = RegionalProposal(
        global_round=0,
        regional_round=0,
        commitments=region.jobs.commitments_of(job, ShardIndex(shard)),
        model=DIGEST,
        payload=DIGEST,
        loss_micros=1_000,
        excluded=(),
    )
    region.acts(MEMBERS[shard], region.jobs.vote_regional(job, ShardIndex(shard), proposal))


def export(region: Region, job: JobId, shard: int) -> None:
    region.acts(MEMBERS[shard], region.jobs.report_export(job, ShardIndex(shard), 0, DIGEST))


def vote_globally(region: Region, job: JobId, model: Digest = DIGEST) -> None:
    proposal = GlobalProposal(
        global_round=0, reports=region.jobs.reports_of(job), model=model, payload=DIGEST, excluded=()
    )
    region.acts("world-agg", region.jobs.vote_global(job, proposal))


def make_model(region: Region, job: JobId, model: Digest) -> None:
    """Everybody takes part, and the global round makes a model of this digest."""
    region.gather(job)
    told = region.does("start", job)
    assert told.code == 0, told.err
    for name in HOSPITALS:
        commit(region, name, job)
    for shard in range(len(MEMBERS)):
        vote(region, job, shard)
        export(region, job, shard)
    vote_globally(region, job, model)
