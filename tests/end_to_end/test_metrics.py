"""What daemons tell Prometheus while a job runs."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from domicile.protocol.round import JobPhase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Samples by name and labels; none while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def restart_with_metrics(field, name: str, role: str) -> int:
    """Ends a daemon and starts it again, now with a port of its own."""
    folder, port = field.ground.party_folder(name), free_port()
    field.processes.kill(name)
    with (folder / f"{role}.toml").open("a", encoding="utf-8") as config:
        config.write(f"\n[metrics]\nport = {port}\n")
    field.processes.start(name, role, folder / f"{role}.toml", folder / "log.jsonl")
    return port


def counted(samples, name: str, label: str) -> dict[str, float]:
    """Samples of one name by one of their labels."""
    found = ((dict(labels).get(label), value) for (one, labels), value in samples.items() if one == name)
    return {str(key): value for key, value in found}


def values(samples, name: str) -> Iterator[float]:
    return (value for (one, _), value in samples.items() if one == name)


def test_figures_follow_the_job_add_up_to_what_the_chain_shows_and_hold_no_account_and_no_path(arena, small_network):
    field = arena(small_network(global_rounds=2, window_s=20))
    ports = {"a": restart_with_metrics(field, "a", "node"), "agg-1": restart_with_metrics(field, "agg-1", "aggregator")}
    ports["global-1"] = restart_with_metrics(field, "global-1", "aggregator")
    seen: list[tuple[int, float]] = []

    def look(view) -> None:
        samples = scrape(ports["a"])
        seen.extend((view.global_round, shown) for shown in values(samples, "domicile_job_global_round"))

    outcome = field.run(look)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert {shown for _, shown in seen} == {0.0, 1.0}
    assert all(abs(shown - told) <= 1 for told, shown in seen)

    node, member, merger = (scrape(ports[name]) for name in ("a", "agg-1", "global-1"))
    account = field.ground.addresses["a"]
    num_commits = sum(event.node == account for events in outcome.observer.history.commits.values() for event in events)
    acts = counted(node, "domicile_act_seconds_count", "act")
    assert acts["join"] == 1
    assert acts["train"] == acts["seal"] == acts["store"] == acts["commit"] == num_commits
    assert acts["evaluate"] >= 1
    passed = counted(node, "domicile_transactions_total", "action")
    assert passed["commit"] == num_commits
    assert counted(node, "domicile_gas_used_total", "action")["commit"] > 40_000 * num_commits
    assert counted(node, "domicile_sealed_bytes_total", "kind")["update"] > 0
    assert counted(node, "domicile_store_written_bytes_total", "store")["region"] > 0
    assert next(values(node, "domicile_last_look_block")) <= field.ground.chain.block_number()

    regional = counted(member, "domicile_act_seconds_count", "act")
    assert {"merge", "propose", "export", "seal", "store"} <= regional.keys()
    assert counted(merger, "domicile_sealed_bytes_total", "kind").keys() == {"global_model"}
    assert counted(merger, "domicile_build_info", "party") == {"global-1": 1.0}
    assert not [name for name, _ in node if name.endswith("_created")]

    told = str([node, member, merger]).lower()
    for secret in (*field.ground.addresses.values(), str(field.ground.folder), field.ground.rpc_url, "diagnosis"):
        assert secret.lower() not in told
