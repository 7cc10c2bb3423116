"""What went into each model, folded from a job's events once each of them was found to be right."""

from __future__ import annotations

from domicile.chain import events as ev
from domicile.lineage.verdict import GlobalLineage, RegionalLineage, RegionLineage
from domicile.protocol.job import Job
from domicile.protocol.proposal import GlobalProposal, RegionalProposal, SurvivorsProposal
from domicile.types import Address, Digest, ShardIndex


class Ancestry:
    """`models` in order of rounds; `used`: digests of all payloads that a model was made of or lies in."""

    def __init__(self) -> None:
        self.models: list[GlobalLineage] = []
        self.used: set[Digest] = set()
        self._commits: dict[tuple[ShardIndex, int, int], dict[Address, Digest]] = {}
        self._voted_survivors: dict[ShardIndex, SurvivorsProposal] = {}
        self._agreed: dict[tuple[ShardIndex, int, int], SurvivorsProposal] = {}
        self._voted: dict[ShardIndex, RegionalProposal] = {}
        self._voted_globally: GlobalProposal | None = None
        self._accepted: dict[tuple[ShardIndex, int], list[RegionalLineage]] = {}
        self._exported: dict[int, dict[ShardIndex, RegionLineage]] = {}

    def note(self, event: ev.JobEvent, job: Job) -> None:
        """Takes in an event; `job` is the job after the act that told it."""
        match event:
            case ev.UpdateCommitted():
                key = (event.shard, event.global_round, event.regional_round)
                self._commits.setdefault(key, {})[event.node] = event.digest
            case ev.SurvivorsVote():
                self._voted_survivors[event.shard] = event.proposal
            case ev.SurvivorsAgreed():
                # The vote noted last is the one that made the quorum.
                key = (event.shard, event.global_round, event.regional_round)
                self._agreed[key] = self._voted_survivors[event.shard]
            case ev.RegionalVote():
                self._voted[event.shard] = event.proposal
            case ev.GlobalVote():
                self._voted_globally = event.proposal
            case ev.RegionalModelAccepted():
                self._note_regional(event)
            case ev.ModelExported():
                self._note_export(event, job.shards[event.shard].first_round)
            case ev.GlobalModelAccepted():
                self._note_global(event)
            case _:
                pass

    def survivors(self, shard: ShardIndex, global_round: int, regional_round: int) -> SurvivorsProposal | None:
        """What a shard's committee agreed on before a masked sum was unmasked."""
        return self._agreed.get((shard, global_round, regional_round))

    def last_round(self, shard: ShardIndex, global_round: int) -> RegionalLineage:
        """The regional model accepted last; there MUST be one."""
        return self._accepted[shard, global_round][-1]

    def _note_regional(self, event: ev.RegionalModelAccepted) -> None:
        """The vote noted last is the one that made the quorum."""
        left_out = {one.node: one.reason for one in self._voted[event.shard].excluded}
        commits = self._commits[event.shard, event.global_round, event.regional_round]
        accepted = RegionalLineage(
            regional_round=event.regional_round,
            model=event.model,
            included=tuple((node, digest) for node, digest in commits.items() if node not in left_out),
            excluded=tuple(left_out.items()),
        )
        self._accepted.setdefault((event.shard, event.global_round), []).append(accepted)
        self.used.update(digest for _, digest in accepted.included)
        self.used.add(event.payload)

    def _note_export(self, event: ev.ModelExported, first_round: int) -> None:
        """Rounds before `first_round` belong to an attempt that stalled: nothing of them is in the model."""
        rounds = self._accepted[event.shard, event.global_round]
        self._exported.setdefault(event.global_round, {})[event.shard] = RegionLineage(
            jurisdiction=event.jurisdiction,
            contributors=event.contributors,
            model=event.model,
            payload=event.payload,
            rounds=tuple(one for one in rounds if one.regional_round >= first_round),
        )
        self.used.add(event.payload)

    def _note_global(self, event: ev.GlobalModelAccepted) -> None:
        assert self._voted_globally is not None  # noqa: S101 - acceptance follows the vote that made the quorum
        left_out = {one.shard for one in self._voted_globally.excluded}
        exported = self._exported[event.global_round]
        made = GlobalLineage(
            global_round=event.global_round,
            model=event.model,
            payload=event.payload,
            from_regions=tuple(region for shard, region in exported.items() if shard not in left_out),
        )
        self.models.append(made)
        self.used.add(event.payload)
