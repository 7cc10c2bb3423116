"""What is wrong within an order, or with a node that would join: one line with cause and mend, and nothing is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domicile.protocol.eligibility import Safeguard
from domicile.protocol.jurisdiction import Tier
from domicile.types import Digest, JobId, JurisdictionCode
from tests.verbs.job_ground import HOSPITALS, OWNER, PARTIES, Region, attest, publish_card, write_access
from tests.verbs.network_ground import DIGEST, domicile

NOBODY = "0x" + "12" * 20
NO_CARD = Digest(b"\x77" * 32)
EU, US = JurisdictionCode("EU"), JurisdictionCode("US")


MASKED = 'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0'
SUMMED = 'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0'


def robust(**rule: object) -> str:
    table = ", ".join(f"{key} = {value}" for key, value in {"rule": '"median"', "num_hostile": 1, **rule}.items())
    return f'seed = 7\naggregation = "robust"\nrobust = {{ {table} }}'


def node_privacy(**more: object) -> str:
    keys = {"unit": '"node"', "epsilon": 8.0, "delta": 1e-6, **more}
    return f"seed = 7\nprivacy = {{ {', '.join(f'{key} = {value}' for key, value in keys.items())} }}"


SPECS: dict[str, tuple[str, str, str]] = {
    "no TOML": ('name = "trial"', "name = trial", "not valid TOML"),
    "unknown key": ("seed = 7", "sead = 7", "sead: unknown key; did you mean 'seed'?"),
    "no sensitivity": ('sensitivity = "special"', "", "sensitivity: missing; add this key"),
    "no shard": ('shards = ["EU", "US"]', "shards = []", "shards: "),
    "shard twice": ('["EU", "US"]', '["EU", "EU"]', "shards: 'EU' comes twice; name each shard once"),
    "shard without a committee": ("[committees.US]", "[committees.UK]", "committees.US: missing; add the table"),
    "committee without a shard": ('["EU", "US"]', '["EU"]', "committees.US: 'US' is not among shards"),
    "no global committee": ('[global_committee]\nmembers = ["world-agg"]', "", "global_committee: missing"),
    "empty committee": ('["eu-agg"]', "[]", "committees.EU.members: "),
    "quorum above": ('["eu-agg"]', '["eu-agg"]\nquorum = 2', "committees.EU.quorum: 2 is above the committee's 1"),
    "member unknown": ('"eu-agg"', '"eu-aggg"', "committees.EU.members: 'eu-aggg' is neither an account"),
    "member no account": ('"eu-agg"', '"0x12"', "committees.EU.members: '0x12': no account"),
    "member twice": ('"eu-agg"]', f'"eu-agg", "{PARTIES["eu-agg"].address}"]', "is an account that comes twice"),
    "more shards than there are": ("[task]\n", "[participation]\nmin_shards = 3\n[task]\n", "min_shards: 3 of 2"),
    "columns missing": ('features = ["x1", "x2"]', "", "task.options.features: missing; list the columns that every"),
    "columns twice": ('["x1", "x2"]', '["x1", "x1"]', "task.options: features lists 'x1' twice"),
    "target a column": ('["x1", "x2"]', '["x1", "y"]', "task.options: features holds the target 'y'"),
    "option unknown": ("target =", "tarket =", "task.options: tarket: unknown key; did you mean 'target'?"),
    "task unknown": ('use = "tabular"', 'use = "tables"', "task 'tables': no task has this name"),
    "task file missing": ('use = "tabular"', 'use = "mine.py:Mine"', "mine.py cannot be read; correct the path"),
    "model too large": (
        'target = "y"',
        'target = "y"\nmodel = "mlp"\nhidden = [65536, 65536, 65536, 65536, 65536, 65536, 65536]',
        "parameters, this party takes on",
    ),
    "privacy of nothing": (
        "[task]\n",
        "[privacy]\nepsilon = 0.0\ndelta = 1e-5\nmax_grad_norm = 1.0\n[task]\n",
        "privacy.epsilon: 0 is not above 0; write a positive number",
    ),
    "privacy that reserves nobody knows what": (
        "[task]\n",
        "[privacy]\nnoise_multiplier = 2.0\ndelta = 1e-5\nmax_grad_norm = 1.0\n[task]\n",
        "privacy.epsilon: missing; add this key",
    ),
    "privacy without clipping": (
        "[task]\n",
        "[privacy]\nepsilon = 8.0\ndelta = 1e-5\n[task]\n",
        "max_grad_norm: missing",
    ),
    "privacy of scaled rows": (
        "[task]\n",
        "[privacy]\nepsilon = 8.0\ndelta = 1e-5\nmax_grad_norm = 1.0\n[task]\n",
        "privacy: task.options.standardize: rows are scaled by mean and deviation of all rows; set it to false",
    ),
    "secure without a bound of norms": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nsecure = { max_examples = 100 }',
        'max_update_norm: missing; aggregation = "secure" adds updates of bounded norm',
    ),
    "secure without a bound of weights": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0\nmerging = { regional = { weighting = "samples" } }',
        "secure.max_examples: missing; weights by samples are hidden in the sum too",
    ),
    "bounded weights that are all the same": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0\nsecure = { max_examples = 100 }\n'
        'merging = { regional = { weighting = "uniform" } }',
        "secure: max_examples has no meaning where all nodes weigh the same; remove this table",
    ),
    "bounded weights where the file is silent on them": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0\nsecure = { max_examples = 100 }',
        'remove this table, or set merging.regional.weighting = "samples"',
    ),
    "a table of secure aggregation without it": (
        "seed = 7",
        "seed = 7\nsecure = { max_examples = 100 }",
        'secure: aggregation is "plain"; remove the table or write aggregation = "secure"',
    ),
    "secure and robust at once": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0\nsecure = { max_examples = 100 }\n'
        'robust = { rule = "median", num_hostile = 1 }',
        'robust: aggregation is "secure"; remove the table or write aggregation = "robust"',
    ),
    "more hostile nodes than a round may have": (
        "seed = 7",
        robust(num_hostile=2),
        "robust.rule: median against 2 hostile needs 5 contributions (n >= 2f + 1), participation.min_nodes allows 3; "
        "raise min_nodes to 5, lower num_hostile, or take another rule",
    ),
    "more hostile regions than a merge may have": (
        "seed = 7",
        robust(regions='{ rule = "median", num_hostile = 1 }'),
        "robust.regions.rule: median against 1 hostile needs 3 contributions (n >= 2f + 1), participation.min_shards "
        "allows 1; raise min_shards to 3",
    ),
    "privacy of nodes without secure aggregation": (
        "seed = 7",
        node_privacy(),
        'privacy.unit: "node" covers the sum of all updates, and aggregation = "plain" shows each of them; write '
        'aggregation = "secure", or unit = "row"',
    ),
    "as many colluding nodes as a sum may have": (
        "seed = 7",
        node_privacy(colluding_nodes=3).replace("seed = 7", SUMMED),
        "privacy.colluding_nodes: 3 of the 3 nodes of the smallest sum",
    ),
    "an aggregation that nobody knows": ("seed = 7", 'seed = 7\naggregation = "secret"', "aggregation: "),
    "nodes whose updates are seen": (
        "[task]\n",
        '[privacy]\nunit = "node"\nepsilon = 8.0\ndelta = 1e-5\n[task]\n',
        'privacy.unit: "node" covers the sum of all updates, and aggregation = "plain" shows each of them; write',
    ),
    "nodes without clipping": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nmax_update_norm = 0.0\n'
        'privacy = { unit = "node", epsilon = 8.0, delta = 1e-5 }',
        "max_update_norm: input should be greater than 0",
    ),
    "nodes whose noise all may know": (
        "seed = 7",
        'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0\n'
        'privacy = { unit = "node", epsilon = 8.0, delta = 1e-5, colluding_nodes = 3 }',
        "privacy.colluding_nodes: 3 of the 3 nodes of the smallest sum leave no noise that counts; lower it",
    ),
    "no training length": ("steps = 2", "", "training: neither epochs nor steps is given"),
    "window of nothing": ("collect_window_s = 30", "collect_window_s = 0", "rounds.collect_window_s: "),
    "too few contributors": ("[task]\n", "[participation]\nmin_contributors = 2\n[task]\n", "min_contributors: "),
}


@pytest.mark.parametrize(("old", "new", "message"), SPECS.values(), ids=SPECS)
def test_a_spec_that_is_wrong_by_itself(old: str, new: str, message: str, region: Region) -> None:
    region.rewrite(region.spec, old, new)
    before = region.chain.block_number()
    told = region.tells("create", region.spec)
    assert (told.code, told.out) == (2, "")
    last = told.err.splitlines()[-1]
    assert last.startswith(f"domicile: {region.spec}: ")
    assert message in last
    assert region.chain.block_number() == before


Break = Callable[[Region], None]


def spec(old: str, new: str) -> Break:
    return lambda region: region.rewrite(region.spec, old, new)


def suspend(name: str) -> Break:
    return lambda region: region.governs(region.nodes.suspend(PARTIES[name].address, DIGEST))


def _tighten(tier: Tier) -> Break:
    return lambda region: region.governs(region.places.tighten(US, tier, DIGEST))


def _retire(name: str) -> Break:
    return lambda region: region.acts(name, region.nodes.retire())


def _hide_card(region: Region) -> None:
    region.acts("eu-agg", region.nodes.update_key_card(NO_CARD, Safeguard.NONE))


def _hide_card_of_a_masked_job(region: Region) -> None:
    region.rewrite(region.spec, "seed = 7", MASKED)
    _hide_card(region)


def _copy_card(region: Region) -> None:
    card = region.nodes.key_card_of(PARTIES["us-agg"].address)
    region.acts("eu-agg", region.nodes.update_key_card(card, Safeguard.NONE))


def _share_key(region: Region) -> None:
    region.rewrite(region.spec, '["eu-agg"]', '["eu-agg", "berlin"]')
    digest = publish_card(region, PARTIES["berlin"].address, PARTIES["eu-agg"])
    region.acts("berlin", region.nodes.update_key_card(digest, Safeguard.NONE))


def _unclear(*names: str) -> Break:
    def act(region: Region) -> None:
        for name in names:
            region.governs(region.nodes.withdraw_clearance(PARTIES[name].address, DIGEST))

    return act


def _attest_for_a_day(region: Region) -> None:
    attest(region, PARTIES["us-agg"].address, "US", days=1)
    region.rewrite(region.spec, "join_window_s = 3600", "join_window_s = 172800")


def _empty_account(region: Region) -> None:
    region.chain.request("anvil_setBalance", OWNER.address, hex(10**12))


def _slow_chain(region: Region) -> None:
    region.chain.request("anvil_setBlockTimestampInterval", 12)
    for _ in range(25):
        region.chain.request("evm_mine")


FINDINGS: dict[str, tuple[Break, str, str, str]] = {
    "shard not listed": (
        lambda region: region.spec.write_text(
            region.spec.read_text().replace('"US"]', '"XX"]').replace("committees.US", "committees.XX")
        ),
        "shards",
        "problem",
        "shards: UnknownJurisdiction (code XX): it is not listed on this network (listed: DE, EU, FR, US)",
    ),
    "shards nested": (
        lambda region: region.spec.write_text(
            region.spec.read_text().replace('"US"]', '"DE"]').replace("committees.US", "committees.DE")
        ),
        "shards",
        "problem",
        "shards: 'DE' lies inside 'EU'",
    ),
    "shard denied": (
        spec('shards = ["EU", "US"]', 'shards = ["EU", "US"]\ndenied = ["EU"]'),
        "shards",
        "problem",
        "denied: 'EU' keeps all of shard 'EU' out",
    ),
    "shard prohibited": (_tighten(Tier.PROHIBITED), "shards", "problem", "shards: 'US' is prohibited by its tier"),
    "tier above": (_tighten(Tier.HIGH_RISK), "shards", "problem", "max_tier: shard 'US' is of tier 'high_risk'"),
    "denied not listed": (
        spec('shards = ["EU", "US"]', 'shards = ["EU", "US"]\ndenied = ["ZZ"]'),
        "shards",
        "problem",
        "denied: UnknownJurisdiction (code ZZ): it is not listed on this network",
    ),
    "contract refuses": (
        spec('shards = ["EU", "US"]', 'shards = ["EU", "US"]\ndenied = ["ZZ"]'),
        "contract",
        "problem",
        "UnknownJurisdiction (code ZZ)",
    ),
    "member not registered": (
        spec('["us-agg"]', f'["{NOBODY}"]'),
        "key cards",
        "problem",
        "is not registered; its operator must register it",
    ),
    "key card gone": (_hide_card, "key cards", "problem", "its key card cannot be read"),
    "key card gone where updates are masked": (
        _hide_card_of_a_masked_job,
        "key cards",
        "problem",
        "committees.EU: eu-agg (",
    ),
    "card of another": (_copy_card, "key cards", "problem", "its key card cannot be read"),
    "key of another": (_share_key, "key cards", "problem", "has the same key as eu-agg"),
    "member suspended": (suspend("eu-agg"), "committees", "warning", "SUSPENDED; an auditor must reinstate it"),
    "member of another place": (
        spec('["us-agg"]', '["eu-agg"]'),
        "committees",
        "warning",
        "OUTSIDE_SHARD; it is attested for DE, outside",
    ),
    "member not cleared": (
        _unclear("us-agg"),
        "committees",
        "warning",
        "NOT_CLEARED; an auditor must clear it for special data",
    ),
    "attestation ends early": (_attest_for_a_day, "committees", "warning", "ends before the job may end"),
    "too few nodes": (
        _unclear("boston", "denver"),
        "participants",
        "warning",
        "US: the gate admits 1 account now, 3 are needed (refused: 2 not cleared)",
    ),
    "node retired": (_retire("paris"), "participants", "warning", "EU: the gate admits 2 accounts now, 3 are needed"),
    "windows too short": (
        _slow_chain,
        "windows",
        "warning",
        "rounds.collect_window_s: 30 s are 2.5 blocks of this chain, 10 are needed",
    ),
    "no money": (_empty_account, "balance", "problem", f"ether to {OWNER.address}"),
}


@pytest.mark.parametrize(("provoke", "check", "state", "text"), FINDINGS.values(), ids=FINDINGS)
def test_an_order_that_does_not_stand_with_the_chain(
    provoke: Break, check: str, state: str, text: str, region: Region
) -> None:
    provoke(region)
    before = region.chain.block_number()
    told = region.orders("--dry-run")
    found = [one["text"] for one in told.data["findings"] if (one["check"], one["state"]) == (check, state)]
    assert any(text in one for one in found), told.out
    problems = [one["text"] for one in told.data["findings"] if one["state"] == "problem"]
    assert told.code == (2 if problems else 0)
    assert told.err == "" if not problems else told.err.startswith(f"domicile: {region.spec}: {problems[0]}")
    assert region.chain.block_number() == before


def test_an_order_with_a_problem_is_not_sent_and_one_with_a_warning_is(region: Region) -> None:
    suspend("eu-agg")(region)
    told = region.tells("create", region.spec)
    assert told.code == 0
    assert "SUSPENDED" in told.out
    assert "job 1 created" in told.out
    suspend("us-agg")(region)
    region.rewrite(region.spec, '["us-agg"]', f'["{NOBODY}"]')
    refused = region.tells("create", region.spec)
    assert (refused.code, refused.err.splitlines()[-1].endswith("nothing was sent")) == (2, True)
    assert region.jobs.num_jobs() == 1


@pytest.fixture
def ordered(region: Region) -> Region:
    """With a job that may be joined."""
    told = region.orders()
    assert told.code == 0, told.err
    return region


def test_where_there_is_no_job_yet_it_is_said_so(region: Region) -> None:
    told = region.tells("status", 1)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "job 1: no such job, there is none yet" in told.err


def _expired(region: Region) -> None:
    region.pass_time(40 * 24 * 3600)


def _unapproved(region: Region) -> None:
    region.rewrite(region.config("berlin"), "digest = ", 'digest = "' + "0" * 64 + '" # ')


def _other_data(region: Region) -> None:
    (region.folder / "other.csv").write_text("x1,z\n1,2\n", encoding="utf-8")
    region.rewrite(region.config("berlin"), "../rows.csv", "../other.csv")


def _started(region: Region) -> None:
    region.gather(1)
    assert region.does("start", 1).code == 0
    region.node("leave", 1, "berlin", "--yes")


def _over(region: Region) -> None:
    region.does("cancel", 1, "--yes")


NODES: dict[str, tuple[Break, int, str]] = {
    "suspended": (suspend("berlin"), 3, "EU: SUSPENDED, an auditor must reinstate it"),
    "not cleared": (_unclear("berlin"), 3, "NOT_CLEARED, an auditor must clear it for special data"),
    "not registered": (_retire("berlin"), 3, "NOT_REGISTERED, this node must register"),
    "task not approved": (_unapproved, 2, "is not approved here"),
    "data does not fit": (_other_data, 2, "no column 'x2'"),
    "window over": (_expired, 3, "the join window of job 1 ended at"),
    "started": (_started, 3, "job 1 is training and takes no members any more"),
    "over": (_over, 3, "job 1 is cancelled and takes no members any more"),
}


def is_kept_out(ordered: Region, code: int, message: str, *more: object) -> None:
    before = ordered.chain.block_number()
    told = domicile("job", "join", 1, "--config", ordered.config("berlin"), *more)
    last = told.err.splitlines()[-1]
    assert (told.code, told.out) == (code, "")
    assert last.startswith("domicile: ")
    assert message in last
    assert ordered.chain.block_number() == before


@pytest.mark.parametrize(("provoke", "code", "message"), NODES.values(), ids=NODES)
def test_what_keeps_a_node_out(provoke: Break, code: int, message: str, ordered: Region) -> None:
    provoke(ordered)
    is_kept_out(ordered, code, message)


def test_no_shard_but_its_own_takes_a_node(ordered: Region) -> None:
    is_kept_out(ordered, 2, "'UK' is no shard of job 1; its shards are EU, US", "--shard", "UK")
    is_kept_out(ordered, 3, "US: OUTSIDE_SHARD, it is attested for DE, outside", "--shard", "US")


def test_a_node_in_one_shard_is_not_moved_to_another(ordered: Region) -> None:
    assert set(HOSPITALS.values()) == {"DE", "FR", "US"}
    ordered.node("join", 1, "paris")
    told = ordered.node("join", 1, "paris", "--shard", "US")
    assert (told.code, "this node is in shard EU of job 1" in told.err) == (2, True)
    assert ordered.jobs.member_of(JobId(1), PARTIES["paris"].address).shard == 0


def test_a_network_without_keys_can_be_looked_at_and_not_acted_on(ordered: Region) -> None:
    write_access(ordered, "guest", bare=True)
    assert ordered.does("status", 1, who="guest").data["phase"] == "joining"
    assert "no border store named, so no name" in ordered.tells("list", who="guest").out
    for verb in (("start", 1), ("cancel", 1, "--yes")):
        told = ordered.does(*verb, who="guest")
        assert (told.code, told.err.count("\n")) == (2, 1)
        assert "keys: missing; name the account that is to act" in told.err
    assert ordered.does("create", ordered.spec, who="guest").code == 2
    assert ordered.does("advance", 1, who="guest").data["changed"] is False
    ordered.pass_time(3600)
    told = ordered.does("advance", 1, who="guest")
    assert (told.code, "keys: missing; name the account that is to act" in told.err) == (2, True)
