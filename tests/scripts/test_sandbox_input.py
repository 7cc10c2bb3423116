"""Wrong files are refused with one line that names file, key, cause and mend, before anything is started."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from domicile.errors import ConfigurationError
from domicile.protocol.budget import Budget
from scripts.network_file import NAME_PATTERN
from scripts.sandbox.admission import open_gate
from scripts.sandbox.bring_up import ATTESTER, DATA_OWNER, OWNER
from scripts.sandbox.plan import load_plan

ROOT = Path(__file__).resolve().parents[2]

NETWORK = """
[[jurisdictions]]
code = "EU"
[[nodes]]
name = "a"
jurisdiction = "EU"
train = "a.csv"
[[nodes]]
name = "b"
jurisdiction = "EU"
train = "b.csv"
[[nodes]]
name = "c"
jurisdiction = "EU"
train = "c.csv"
[[aggregators]]
name = "agg"
jurisdiction = "EU"
[committees.EU]
members = ["agg"]
[global_committee]
members = ["agg"]
"""

JOB = """
name = "j"
sensitivity = "special"
shards = ["EU"]
[task]
use = "tabular"
[task.options]
target = "y"
[training]
steps = 2
[rounds]
global = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sandbox folder that is right."""
    (tmp_path / "network.toml").write_text(NETWORK, encoding="utf-8")
    (tmp_path / "job.toml").write_text(JOB, encoding="utf-8")
    rows = "\n".join(f"{i / 10},{i % 2}" for i in range(40))
    (tmp_path / "mine.py").write_text("class Mine(", encoding="utf-8")
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{rows}\n", encoding="utf-8")
    return tmp_path


def test_the_first_nodes_file_does_not_decide_what_columns_the_model_has(folder: Path) -> None:
    rows = "\n".join(f"{i / 10},{i % 3},{i % 2}" for i in range(40))
    for name in "bc":
        (folder / f"{name}.csv").write_text(f"x,marker,y\n{rows}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"a\.csv of 'a': no column 'marker', which b\.csv of 'b' has; add it"):
        load_plan(folder)


def test_right_files_are_taken(folder: Path) -> None:
    plan = load_plan(folder)
    assert plan.home == {"a": "EU", "b": "EU", "c": "EU", "agg": "EU"}
    assert plan.options["features"] == ["x"]


CASES = {
    "unknown key": ("job.toml", "[training]", "[training]\nstep = 3", ["job.toml", "training.step", "did you mean"]),
    "wrong type": ("job.toml", "steps = 2", 'steps = "2"', ["job.toml", "training.steps", "integer"]),
    "missing key": ("job.toml", 'sensitivity = "special"', "", ["job.toml", "sensitivity", "missing"]),
    "not TOML": ("job.toml", 'name = "j"', "name = ", ["job.toml", "not valid TOML"]),
    "epochs and steps": ("job.toml", "steps = 2", "steps = 2\nepochs = 1", ["job.toml", "training", "keep one"]),
    "unknown shard": ("job.toml", 'shards = ["EU"]', 'shards = ["US"]', ["job.toml", "shards", "'US'", "list it"]),
    "shard twice": ("job.toml", 'shards = ["EU"]', 'shards = ["EU", "EU"]', ["job.toml", "shards", "twice"]),
    "min_shards": (
        "job.toml",
        "[task]",
        "[participation]\nmin_shards = 2\n[task]",
        ["job.toml: participation.min_shards: 2 of 1", "lower it"],
    ),
    "min_contributors": (
        "job.toml",
        "[task]",
        "[participation]\nmin_contributors = 2\n[task]",
        ["job.toml", "participation.min_contributors", "3"],
    ),
    "too few nodes to export": (
        "job.toml",
        "[task]",
        "[participation]\nmin_contributors = 4\n[task]",
        ["job.toml", "min_contributors", "'EU'", "add nodes"],
    ),
    "regional rounds": (
        "job.toml",
        "global = 1",
        "global = 1\nregional_min = 3\nregional_max = 2",
        ["job.toml", "rounds", "regional_max"],
    ),
    "unknown task": ("job.toml", 'use = "tabular"', 'use = "tabluar"', ["job.toml", "task", "tabluar"]),
    "missing column": ("job.toml", 'target = "y"', 'target = "z"', ["job.toml: task.options.target:", "'z'", "(x, y)"]),
    "a model too large": (
        "job.toml",
        'target = "y"',
        'target = "y"\nmodel = "mlp"\nhidden = [65536, 65536, 65536, 65536]',
        ["job.toml", "12,885,", "parameters"],
    ),
    "a key with another name in Python": (
        "job.toml",
        "[rounds]",
        "[rounds]\nglobal_rounds = 5",
        ["job.toml: rounds.global_rounds: unknown key", "did you mean 'global'?"],
    ),
    "misspelt task option": (
        "job.toml",
        'target = "y"',
        'target = "y"\nmissing_indicators = true',
        ["job.toml", "task.options", "missing_indicators", "did you mean 'missing_indicator'"],
    ),
    "constant without a value": (
        "job.toml",
        'target = "y"',
        'target = "y"\nmissing = "constant"',
        ["job.toml", "task.options", "fill_value"],
    ),
    "unknown level": (
        "job.toml",
        'target = "y"',
        'target = "y"\ncategorical = { x = ["a"] }',
        ["network.toml", "'a'", "a.csv", "task.options.categorical.x", "add it"],
    ),
    "unknown jurisdiction": (
        "network.toml",
        'name = "a"\njurisdiction = "EU"',
        'name = "a"\njurisdiction = "FR"',
        ["network.toml", "nodes.0.jurisdiction", "'FR'", "list it"],
    ),
    "unknown parent": (
        "network.toml",
        'code = "EU"',
        'code = "EU"\nparent = "XX"',
        ["network.toml", "jurisdictions.0.parent", "'XX'"],
    ),
    "bad code": ("network.toml", 'code = "EU"', 'code = "eu"', ["network.toml", "jurisdictions.0.code"]),
    "two nodes of one name": ("network.toml", 'name = "b"', 'name = "a"', ["network.toml", "'a'", "twice"]),
    "quorum above committee": (
        "network.toml",
        '[committees.EU]\nmembers = ["agg"]',
        '[committees.EU]\nmembers = ["agg"]\nquorum = 2',
        ["network.toml: committees.EU.quorum: 2 is above", "lower it"],
    ),
    "unknown member": (
        "network.toml",
        '[committees.EU]\nmembers = ["agg"]',
        '[committees.EU]\nmembers = ["nobody"]',
        ["network.toml", "committees.EU.members", "'nobody'"],
    ),
    "attester quorum": (
        "network.toml",
        "[global_committee]",
        "[attesters]\nnum = 2\nquorum = 3\n[global_committee]",
        ["network.toml: attesters.quorum: 3 is above the 2", "lower it"],
    ),
    "window above a year": (
        "job.toml",
        "global = 1",
        "global = 1\ncollect_window_s = 31536001",
        ["job.toml: rounds.collect_window_s", "31536000"],
    ),
    "a date for a name": ("job.toml", 'name = "j"', "name = 2020-01-01", ["job.toml: name: a date", "quotes"]),
    "a name of the job's owner": ("network.toml", 'name = "a"', 'name = "_job-owner"', ["nodes.0.name"]),
    "committee of an unlisted place": (
        "network.toml",
        "[global_committee]",
        '[committees.ZZ]\nmembers = ["agg"]\n[global_committee]',
        ["network.toml: committees.ZZ: 'ZZ' is not among the jurisdictions", "list it"],
    ),
    "committee of no shard": (
        "network.toml",
        '[[nodes]]\nname = "a"',
        '[[jurisdictions]]\ncode = "US"\n[committees.US]\nmembers = ["agg"]\n[[nodes]]\nname = "a"',
        ["network.toml: committees.US: 'US' is no shard of job.toml", "remove the committee"],
    ),
    "member of the global committee": (
        "network.toml",
        '[global_committee]\nmembers = ["agg"]',
        '[global_committee]\nmembers = ["nobody"]',
        ["network.toml: global_committee.members: there is no aggregator 'nobody'"],
    ),
    "prohibited shard": (
        "network.toml",
        'code = "EU"',
        'code = "EU"\ntier = "prohibited"',
        ["job.toml: shards: 'EU' is prohibited", "remove the shard or change the tier"],
    ),
    "shard above max_tier": (
        "network.toml",
        'code = "EU"',
        'code = "EU"\ntier = "high_risk"',
        ["job.toml: max_tier: shard 'EU' is of tier 'high_risk', above 'conditional'", "raise max_tier"],
    ),
    "denied shard": (
        "job.toml",
        'shards = ["EU"]',
        'shards = ["EU"]\ndenied = ["EU"]',
        ["job.toml: denied: 'EU' keeps all of shard 'EU' out", "remove the one"],
    ),
    "nodes that are not cleared": (
        "network.toml",
        'train = "a.csv"',
        'train = "a.csv"\nclearance = "personal"',
        ["job.toml: participation.min_nodes: shard 'EU' has 2 node(s)", "'a' NOT_CLEARED", "add nodes or lower it"],
    ),
    "nodes in a place above max_tier": (
        "network.toml",
        '[[nodes]]\nname = "a"\njurisdiction = "EU"',
        '[[jurisdictions]]\ncode = "DE"\nparent = "EU"\ntier = "high_risk"\n[[nodes]]\nname = "a"\njurisdiction = "DE"',
        ["job.toml: participation.min_nodes: shard 'EU' has 2 node(s)", "'a' TIER_FORBIDS"],
    ),
    "hidden layers of a logistic regression": (
        "job.toml",
        'target = "y"',
        'target = "y"\nhidden = [3]',
        ["job.toml: task.options: hidden: has no meaning", "remove it"],
    ),
    "broken task": ("job.toml", 'use = "tabular"', 'use = "mine.py:Mine"', ["job.toml: task 'mine.py:Mine'", "line 1"]),
    "no such data file": ("network.toml", 'train = "b.csv"', 'train = "no.csv"', ["network.toml", "'b'", "no.csv"]),
}


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_a_wrong_file_is_refused_in_one_line(folder: Path, case: str) -> None:
    file, old, new, told = CASES[case]
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_plan(folder)
    message = str(refused.value)
    assert "\n" not in message
    assert f"{file}: (the whole file)" not in message
    assert message.count("task.options:") < 2
    assert [word for word in told if word not in message] == [], message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x,y\n", "a.csv"),
        ("x,y\n" + "\n".join(f"{i},1" for i in range(40)), "class"),
        ("x,y\n" + "\n".join(f"word,{i % 2}" for i in range(40)), "x"),
    ],
    ids=["no rows", "one class", "not a number"],
)
def test_wrong_data_is_refused_naming_the_node_and_the_file(folder: Path, content: str, told: str) -> None:
    (folder / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_plan(folder)
    message = str(refused.value)
    assert "a.csv" in message or "'a'" in message
    assert told in message


PRIVATE = """
[privacy]
epsilon = 8.0
delta = 1e-5
max_grad_norm = 1.0
[data]
stratified = false
[task]
use = "tabular"
[task.options]
target = "y"
standardize = false
missing = "refuse"
ranges.x = [0, 4]
"""

UNSOUND = {
    "epsilon of 0": ("epsilon = 8.0", "epsilon = 0", "job.toml: privacy.epsilon: 0 is not above 0; write a positive"),
    "negative epsilon": ("epsilon = 8.0", "epsilon = -2", "job.toml: privacy.epsilon: -2 is not above 0; write"),
    "no epsilon": ("epsilon = 8.0", "", "job.toml: privacy.epsilon: missing; add this key"),
    "no clipping": ("max_grad_norm = 1.0", "max_grad_norm = 0", "job.toml: privacy.max_grad_norm: 0 is not above 0;"),
    "no delta": ("delta = 1e-5", "", "job.toml: privacy.delta: missing; add this key"),
    "delta of a whole row": ("delta = 1e-5", "delta = 0.04", "node 'a': privacy.delta: 0.04 is not below 1 in 26"),
    "too little noise": (
        "epsilon = 8.0",
        "epsilon = 1\nnoise_multiplier = 0.7",
        "node 'a': privacy.noise_m",
    ),
    "misspelt": (
        "max_grad_norm",
        "max_gradient_norm",
        "privacy.max_gradient_norm: unknown key; did you mean",
    ),
    "scaled by others": ("standardize = false", "", "task.options: ranges and standardize both scale"),
    "split by labels": (
        "stratified = false",
        "stratified = true",
        "node 'a': data.stratified: one row's label",
    ),
    "filled by others": (
        'missing = "refuse"',
        'missing = "mean"',
        "node 'a': privacy: task.options.missing: ",
    ),
    "no such range": ("ranges.x", "ranges.z", "task.options: ranges.z is no column of numbers among the features;"),
    "range upside down": ("[0, 4]", "[4, 0]", "task.options: ranges.x is not a lower and a higher number; write"),
}


@pytest.fixture
def private_folder(folder: Path) -> Path:
    """A sandbox folder whose job asks for privacy."""
    job = folder / "job.toml"
    plain = job.read_text(encoding="utf-8")
    task = '[task]\nuse = "tabular"\n[task.options]\ntarget = "y"\n'
    assert task in plain
    job.write_text(plain.replace(task, PRIVATE), encoding="utf-8")
    return folder


def test_a_job_that_asks_for_privacy_has_a_budget_for_each_node(private_folder: Path) -> None:
    budgets = load_plan(private_folder).budgets
    assert sorted(budgets) == ["a", "b", "c"]
    # One global round of one regional round, and the default's one retry.
    assert {(one.num_rows, one.horizon.num_steps) for one in budgets.values()} == {(26, 4)}
    assert all(7 < one.epsilon <= 8 for one in budgets.values())


def test_what_the_job_asks_for_is_granted_unless_the_network_says_otherwise(private_folder: Path) -> None:
    grant_to(private_folder, "a", "epsilon = 20.5")
    plan = load_plan(private_folder)
    gate = open_gate(plan.network, plan.job)
    granted = {node.name: gate.granted(node) for node in plan.network.nodes}
    asked = Budget.covering(8.0, 1e-5)
    assert granted == {"a": replace(asked, epsilon_micros=20_500_000), "b": asked, "c": asked}


def test_a_run_that_leaves_privacy_out_has_no_budget_and_is_named_so_and_is_the_same_job_otherwise(
    private_folder: Path,
) -> None:
    grant_to(private_folder, "a", "epsilon = 20.5")
    job = private_folder / "job.toml"
    job.write_text(job.read_text(encoding="utf-8").replace('name = "j"', f'name = "{"j" * 80}"'), encoding="utf-8")
    asked, plain = load_plan(private_folder), load_plan(private_folder, privacy_left_out=True)
    assert (plain.privacy_left_out, plain.job.privacy, dict(plain.budgets)) == (True, None, {})
    assert plain.job.name == "j" * 67 + " (no privacy)"
    assert plain.job.model_copy(update={"name": asked.job.name, "privacy": asked.job.privacy}) == asked.job
    assert {(node.epsilon, node.delta) for node in plain.network.nodes} == {(None, None)}
    assert not asked.privacy_left_out


def test_a_curve_has_the_jobs_own_epsilon_besides_the_usual_ones_and_each_is_kept(private_folder: Path) -> None:
    job = private_folder / "job.toml"
    text = job.read_text(encoding="utf-8")
    own = "epsilon = 30.0\nnoise_multiplier = 0.9\n"
    job.write_text(f"seed = {2**63 - 1}\n" + text.replace("epsilon = 8.0\n", own), encoding="utf-8")
    curve = load_plan(private_folder, curve_seeds=2).curve
    assert curve is not None
    assert curve.seeds == (2**63 - 1, 0)
    assert list(curve.budgets) == [None, 30.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    assert not curve.budgets[None]
    assert curve.budgets[30.0] == load_plan(private_folder).budgets
    for epsilon in (16.0, 8.0, 4.0, 2.0, 1.0):
        assert sorted(curve.budgets[epsilon]) == ["a", "b", "c"]
        assert all(0.95 * epsilon < one.epsilon <= epsilon for one in curve.budgets[epsilon].values())


WISHES = {
    "nothing to leave out": (
        {"privacy_left_out": True},
        r"job\.toml: it asks for no privacy, so that --no-privacy has",
    ),
    "nothing to draw": (
        {"curve_seeds": 1},
        r"job\.toml: it asks for no privacy, so that --curve has no meaning; add the",
    ),
}


@pytest.mark.parametrize(("wish", "told"), WISHES.values(), ids=list(WISHES))
def test_a_wish_that_needs_privacy_is_refused_where_the_job_asks_for_none(
    folder: Path, wish: dict[str, int], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load_plan(folder, **wish)  # type: ignore[arg-type]


def test_a_curve_of_a_run_without_privacy_is_refused(private_folder: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"--curve shows what privacy costs, which --no-privacy leaves out; keep"
    ):
        load_plan(private_folder, privacy_left_out=True, curve_seeds=1)


GRANTS = {
    "none": ("epsilon = 0", "nodes.0.epsilon: input should be greater than 0"),
    "more than the ledger holds": ("delta = 0.1", "nodes.0.delta: input should be less than or equal to 0.07"),
    "too little": ("epsilon = 7.9", "that the contract admits (it would refuse 'a' BudgetExceeded), 3 are needed"),
    "too little delta": ("delta = 0", "that the contract admits (it would refuse 'a' BudgetExceeded), 3 are needed"),
}


@pytest.mark.parametrize(("line", "told"), GRANTS.values(), ids=list(GRANTS))
def test_a_grant_that_lets_too_few_in_is_refused_before_anything_starts(
    private_folder: Path, line: str, told: str
) -> None:
    grant_to(private_folder, "a", line)
    with pytest.raises(ConfigurationError) as refused:
        load_plan(private_folder)
    assert told in str(refused.value)


def test_a_grant_without_a_job_that_could_spend_it_is_refused(folder: Path) -> None:
    grant_to(folder, "a", "epsilon = 8")
    told = r"nodes\.0\.epsilon: 'a' is granted a privacy budget, and job\.toml asks for no privacy; add the table"
    with pytest.raises(ConfigurationError, match=told):
        load_plan(folder)


def grant_to(folder: Path, name: str, line: str) -> None:
    network = folder / "network.toml"
    text = network.read_text(encoding="utf-8")
    assert f'name = "{name}"\n' in text
    network.write_text(text.replace(f'name = "{name}"\n', f'name = "{name}"\n{line}\n', 1), encoding="utf-8")


@pytest.mark.parametrize(("old", "new", "told"), UNSOUND.values(), ids=list(UNSOUND))
def test_privacy_that_is_unsound_is_refused_in_one_line(private_folder: Path, old: str, new: str, told: str) -> None:
    job = private_folder / "job.toml"
    text = job.read_text(encoding="utf-8")
    assert old in text
    job.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_plan(private_folder)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_exits_with_2_and_starts_nothing(folder: Path) -> None:
    (folder / "job.toml").write_text("name = 3", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.main", "sandbox", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("domicile: ")
    assert done.stderr.count("\n") == 1
    assert not (folder / "out").exists()


def test_a_report_that_cannot_be_written_is_found_before_anything_starts(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.main", "sandbox", str(folder), "--json", str(folder / "none" / "r.json")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("domicile: --json: ")
    assert not (folder / "out").exists()


def test_no_participant_can_have_a_name_from_which_another_key_is_derived() -> None:
    assert [name for name in (OWNER, DATA_OWNER, f"{ATTESTER}-0") if re.match(NAME_PATTERN, name)] == []


def test_an_error_reaches_the_terminal_without_control_characters(tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[2Jnetwork"
    hostile.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.main", "sandbox", str(hostile)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "[2Jnetwork/network.toml: no such file" in done.stderr
    assert "\x1b" not in done.stderr


def test_an_output_folder_that_holds_other_things_is_left_alone(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.main", "sandbox", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert (out / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    shutil.rmtree(out)
