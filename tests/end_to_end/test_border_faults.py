"""The border store fails a running job while exports and global models cross it: everything is waited for or put back,
and nobody is left out. In each kind of store: a folder, and a fake of Kubo's protocol (no Kubo).

The test mines the chain's blocks itself, so that each fault falls between two acts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest

from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.protocol.round import JobPhase
from domicile.types import Digest
from scripts.view import JobView
from tests.end_to_end.conftest import Arena
from tests.end_to_end.frail_stores import FakeKuboStore, FrailStore, blocks_of
from tests.end_to_end.story import Keeper, Story, Teller, collecting, lasting, until
from tests.storage.kubo_fake import KuboFake

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

NODES = ("a", "b", "c", "d")
WINDOW_S = 240
OUTAGE_S = 3
WIDE = 'model = "mlp"\nhidden = [256, 256]'
"""A model of two chunks, so that a payload has several blocks."""


class Border(Keeper):
    """Also holds the chain still, and reaches behind the border store."""

    def __init__(self, field: Arena, place: FrailStore) -> None:
        super().__init__(field)
        self.place = place

    def hold_blocks(self) -> None:
        self.field.ground.chain.request("evm_setIntervalMining", 0)

    def let_blocks_come(self) -> None:
        self.field.ground.chain.request("evm_setIntervalMining", 1)

    def mine(self) -> None:
        """The chain's clock moves a second, however long the daemons took."""
        self.pass_time(self.field.ground.chain.timestamp() + 1)

    def is_sending(self, name: str) -> bool:
        """Whether a transaction of this party waits for a block."""
        ask, address = self.field.ground.chain.request, self.field.ground.addresses[name]
        return ask("eth_getTransactionCount", address, "pending") != ask("eth_getTransactionCount", address, "latest")

    def sent_by(self, *names: str) -> Story:
        """Lets all of them come to their next transaction."""
        yield from until(lambda _: all(self.is_sending(name) for name in names))

    def up_to_commits(self) -> Story:
        """Begins round 0, with the update of each node in the region store and no commit in a block."""
        yield from until(collecting(0))
        self.hold_blocks()
        yield from until(lambda view: all(name in view.shards[0].committed or self.is_sending(name) for name in NODES))
        self.mine()

    def sealed(self, name: str, kind: str) -> Digest:
        """The last payload of this kind that a member sealed."""
        digests = [str(line["digest"]) for line in self.logged(name, "sealed_model") if line["kind"] == kind]
        return Digest(bytes.fromhex(digests[-1].removeprefix("0x")))

    def restored(self, name: str) -> list[tuple[object, object]]:
        return [(line["kind"], line["global_round"]) for line in self.logged(name, "restored")]

    def hurrying(self, over: Callable[[], bool]) -> Story:
        """Lets the chain's clock run on in parts of a window, and gives the daemons time to look in each, until `over`.
        MUST come to that within a window.
        """
        view: JobView = yield from until(lambda view: True)
        start_s = view.now_s
        for part in range(1, 12):
            if over():
                return
            self.pass_time(start_s + part * WINDOW_S // 12)
            yield from lasting(2)
        assert over()


@pytest.fixture
def border(frail_network, small_network) -> Callable[..., Border]:
    """Brings a small network up, its border store in the test's hands."""

    def start(**options: object) -> Border:
        field, stores = frail_network(small_network(nodes=NODES, **{"window_s": WINDOW_S} | options))
        return Border(field, stores["border"])

    return start


def failing(border: Border, fault: AbstractContextManager[None], name: str) -> Story:
    """A block comes while the store fails, which lasts until this party has come upon it, and longer."""
    before = len(border.causes(name))
    with fault:
        border.mine()
        yield from until(lambda _: len(border.causes(name)) > before)
        yield from lasting(OUTAGE_S)


def outages(border: Border, fault: Callable[[], AbstractContextManager[None]]) -> Story:
    """The store fails while a mature model is to be exported, and again while the exports are to be merged."""
    yield from border.up_to_commits()
    yield from border.sent_by("agg-1")
    yield from failing(border, fault(), "agg-1")
    yield from border.sent_by("agg-1")
    yield from failing(border, fault(), "global-1")
    yield from border.sent_by("global-1")
    border.let_blocks_come()


def silences(border: Border, fake: KuboFake, waits: list[float]) -> Story:
    """The same with a store that takes calls and answers none; notes the seconds until it is given up."""
    yield from border.up_to_commits()
    for name in ("agg-1", "global-1"):
        yield from border.sent_by("agg-1")
        with fake.silent():
            border.mine()
            start_s = time.monotonic()
            yield from until(lambda _, name=name: any("TimeoutError" in cause for cause in border.causes(name)))
            waits.append(time.monotonic() - start_s)
    yield from border.sent_by("global-1")
    border.let_blocks_come()


def a_block(place: FrailStore, payload: Digest) -> None:
    place.lose(blocks_of(place, payload)[-1])


def everything(place: FrailStore, payload: Digest) -> None:
    for digest in blocks_of(place, payload):
        place.lose(digest)


def other_bytes(place: FrailStore, payload: Digest) -> None:
    place.spoil(blocks_of(place, payload)[-1])


def losses(border: Border, harm: Callable[[FrailStore, Digest], None]) -> Story:
    """An export is harmed when its line in the ledger is on its way, and the global model when its acceptance is:
    nobody but who sealed them has read them.
    """
    yield from border.up_to_commits()
    yield from border.sent_by("agg-1")
    border.mine()
    yield from border.sent_by("agg-1")
    harm(border.place, border.sealed("agg-1", "export"))
    border.mine()
    yield from until(lambda _: bool(border.logged("global-1", "left_out")))
    yield from border.hurrying(lambda: bool(border.restored("agg-1")))
    yield from border.hurrying(lambda: border.is_sending("global-1"))
    harm(border.place, border.sealed("global-1", "global"))
    border.mine()
    yield from until(lambda _: all(border.causes(name) for name in NODES))
    yield from border.hurrying(lambda: bool(border.restored("global-1")))
    border.let_blocks_come()


def assert_nothing_was_lost(border: Border, outcome, *, rounds: int = 2) -> None:
    """In each global round, everybody took part once and was merged."""
    history, names = outcome.observer.history, outcome.ground.names
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    numbers = list(range(rounds))
    assert sorted(history.global_models) == numbers
    assert outcome.lineage.verified, outcome.lineage.problems
    for key in history.regional_models:
        assert sorted(names[event.node] for event in history.commits_of(key)) == list(NODES)
        assert history.regional_tally(key, history.regional_models[key].payload).proposal.excluded == ()
    assert [history.global_tally(number).proposal.excluded for number in numbers] == [()] * rounds
    assert len(history.regional_models) == rounds
    for name, kind in (("agg-1", "regional"), ("agg-1", "export"), ("global-1", "global")):
        sealed = [line["global_round"] for line in border.logged(name, "sealed_model") if line["kind"] == kind]
        assert sealed == numbers
    for name in NODES:
        assert [line["global_round"] for line in border.logged(name, "sealed")] == numbers


@pytest.mark.parametrize("fault", ["gone", "full"])
def test_a_border_store_that_is_gone_or_full_is_waited_for_by_whoever_needs_it(border, tmp_path, fault):
    keeper = border(global_rounds=2)
    with keeper.place.on_small_disk(tmp_path / "disk") if fault == "full" else ExitStack():
        teller = Teller(outages(keeper, getattr(keeper.place, fault)))
        outcome = keeper.field.run(teller)
        keeper.field.processes.stop()
    assert teller.over
    assert_nothing_was_lost(keeper, outcome)
    for name in ("agg-1", "global-1"):
        assert any(getattr(keeper.place, f"{fault}_cause") in cause for cause in keeper.causes(name))


@pytest.mark.parametrize("harm", [a_block, everything, other_bytes])
def test_an_export_and_a_global_model_that_are_lost_before_anyone_read_them_are_put_back(border, harm):
    keeper = border(global_rounds=2, extra_options=WIDE)
    teller = Teller(losses(keeper, harm))
    outcome = keeper.field.run(teller)
    assert teller.over
    assert_nothing_was_lost(keeper, outcome)
    assert keeper.restored("agg-1") == [("export", 0)]
    assert keeper.restored("global-1") == [("global", 0)]
    (missed,) = keeper.logged("global-1", "left_out")
    assert (missed["global_round"], missed["reason"]) == (0, "UNAVAILABLE")
    for name, kind in (("agg-1", "export"), ("global-1", "global")):
        digest = keeper.sealed(name, kind)
        assert keeper.place.store.get_bytes(digest, max_bytes=1 << 20)


def test_a_kubo_that_says_nothing_is_given_up_by_the_job_clock_and_asked_again(arena, small_network):
    clock = JobClock(24)
    with KuboFake(peer_id="12D3KooWFakeEU") as region, KuboFake(peer_id="12D3KooWFakeBorder") as fake:
        network = small_network(nodes=NODES, global_rounds=1, window_s=clock.collect_window_s)
        keeper = Border(arena(network, stores={"EU": region.url, "border": fake.url}), FakeKuboStore(fake))
        waits: list[float] = []
        teller = Teller(silences(keeper, fake, waits))
        outcome = keeper.field.run(teller)
        keeper.field.processes.stop()
    assert teller.over
    assert_nothing_was_lost(keeper, outcome, rounds=1)
    assert min(waits) >= clock.store_timeout_s
    assert max(waits) < DEFAULT_CLOCK.store_timeout_s
