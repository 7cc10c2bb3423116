"""The chain door: named refusals, fees under a cap, bounded ranges, and a deployment file that is checked."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import snake
from domicile.chain.contracts import Jurisdictions, Nodes
from domicile.chain.deployment import Deployment, deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Client, Devnet
from domicile.chain.errors import decode_refusal, known_errors
from domicile.chain.events import JurisdictionListed, NodeRegistered, decode_log, read_events
from domicile.chain.sender import Sender
from domicile.errors import ChainFault, ConfigurationError
from domicile.history import Histories
from domicile.protocol.eligibility import Refusal, Safeguard
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.refusals import JurisdictionAlreadyListed, NotGuardian, UnknownJurisdiction
from domicile.types import Digest
from scripts.doctor.standing import ANYWHERE

DIGEST = Digest(b"\1" * 32)
STRANGER = Signer.from_key(b"\7" * 32)


@pytest.fixture(scope="module")
def devnet():
    with Devnet() as devnet:
        yield devnet


@pytest.fixture(scope="module")
def chain(devnet: Devnet) -> Chain:
    return Chain(devnet.rpc_url)


@pytest.fixture(scope="module")
def governor(chain: Chain) -> Sender:
    return Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))


@pytest.fixture(scope="module")
def deployment(chain: Chain, governor: Sender) -> Deployment:
    return deploy(chain, governor, loosening_delay_s=60)


def test_every_error_of_every_abi_has_a_class_with_its_arguments() -> None:
    named = {
        entry["name"] for artifact in load_artifacts().values() for entry in artifact.abi if entry["type"] == "error"
    }
    classes = {kind.__name__: tuple(kind.__annotations__) for kind, _ in known_errors().values()}
    assert named == set(classes)
    for kind, inputs in known_errors().values():
        assert tuple(snake(one["name"]) for one in inputs) == classes[kind.__name__]


def test_what_no_contract_of_ours_says_is_still_one_line() -> None:
    for data in (
        b"",
        b"\1\2\3\4",
        bytes.fromhex("4e487b71") + (17).to_bytes(32, "big"),
        bytes.fromhex("08c379a0") + b"x",
    ):
        assert "\n" not in str(decode_refusal(data))


def test_a_refusal_arrives_by_name_and_nothing_is_sent(chain: Chain, governor: Sender, deployment: Deployment) -> None:
    places = Jurisdictions(chain, deployment)
    governor.act(places.list("EU", None, Tier.OPEN, DIGEST))
    before = chain.request("eth_getTransactionCount", governor.address, "latest")
    with pytest.raises(JurisdictionAlreadyListed) as refused:
        governor.act(places.list("EU", None, Tier.OPEN, DIGEST))
    assert refused.value.code == "EU"
    with pytest.raises(UnknownJurisdiction):
        places.tier_of("XX")
    with pytest.raises(NotGuardian):
        Sender(chain, STRANGER).act(places.tighten("EU", Tier.PROHIBITED, DIGEST))
    assert chain.request("eth_getTransactionCount", governor.address, "latest") == before


def test_fifty_transactions_can_be_on_their_way_at_once(chain: Chain, governor: Sender) -> None:
    before = int(chain.request("eth_getBalance", STRANGER.address, "latest"), 16)
    handles = [governor.transfer(STRANGER.address, 10**17) for _ in range(50)]
    assert len({governor.wait(handle).transaction for handle in handles}) == 50
    assert int(chain.request("eth_getBalance", STRANGER.address, "latest"), 16) - before == 50 * 10**17


def test_events_come_back_as_what_was_done(chain: Chain, governor: Sender, deployment: Deployment) -> None:
    first = chain.block_number() + 1
    governor.act(Jurisdictions(chain, deployment).list("US", None, Tier.CONDITIONAL, DIGEST))
    governor.act(Nodes(chain, deployment).register(DIGEST, Safeguard.TEE))
    listed, registered = read_events(chain, deployment, first, chain.block_number())
    assert isinstance(listed, JurisdictionListed)
    assert (listed.code, listed.tier, listed.parent) == ("US", Tier.CONDITIONAL, "")
    assert isinstance(registered, NodeRegistered)
    assert (registered.node, registered.safeguards) == (governor.address, Safeguard.TEE)


def test_views_at_a_block_tell_of_that_block(chain: Chain, governor: Sender, deployment: Deployment) -> None:
    places = Jurisdictions(chain, deployment)
    before = chain.at(chain.block_number())
    governor.act(places.list("KE", None, Tier.OPEN, DIGEST))
    assert places.index_of("KE") > 0
    assert before.block_number() == chain.block_number() - 1
    with pytest.raises(UnknownJurisdiction):
        Jurisdictions(before, deployment).index_of("KE")


@pytest.mark.parametrize("client", ["anvil", "ganache"])
def test_the_times_of_many_blocks_come_in_few_round_trips(client: Client) -> None:
    with Devnet(client=client) as devnet:
        chain = Chain(devnet.rpc_url)
        for _ in range(101):
            chain.request("evm_mine")
        head = chain.block_number()
        assert chain.timestamps_of(range(head + 1)) == {n: chain.timestamp_of(n) for n in range(head + 1)}
        with pytest.raises(ChainFault, match="did not answer every request"):
            chain.timestamps_of([head, head + 1])


def test_a_log_that_the_contract_cannot_have_written_is_named(
    chain: Chain, governor: Sender, deployment: Deployment
) -> None:
    governor.act(Jurisdictions(chain, deployment).list("SN", None, Tier.OPEN, DIGEST))
    head = chain.block_number()
    log = next(chain.logs((deployment.node_registry,), head, head))
    log["data"] = log["data"][:-2]
    with pytest.raises(ChainFault, match=f"block {head}, log 0: .* JurisdictionListed that cannot be read"):
        decode_log("NodeRegistry", log)


def test_a_history_tells_when_nothing_can_have_changed(chain: Chain, governor: Sender, deployment: Deployment) -> None:
    histories = Histories(chain, deployment)
    assert histories.update(), "the first look always finds something"
    assert not histories.update()
    governor.act(Jurisdictions(chain, deployment).list("TN", None, Tier.OPEN, DIGEST))
    assert histories.update(), "an event"
    chain.request("evm_setNextBlockTimestamp", histories.now_s + 1)
    chain.request("evm_mine")
    assert histories.update(), "a second went by"
    head = chain.head()
    assert (histories.block, histories.now_s) == (head.number, head.time_s) == (chain.block_number(), chain.timestamp())
    assert head.block_hash == chain.hash_of(head.number)
    assert not histories.update()


def test_a_fee_above_the_cap_is_refused_before_anything_is_sent(chain: Chain, governor: Sender) -> None:
    poor = Sender(chain, governor.signer, max_fee_gwei=0.5)
    with pytest.raises(ChainFault, match=r"max_fee_gwei: the cap of 0\.5 is below the present base fee of"):
        poor.transfer(STRANGER.address, 1)


def test_the_deployment_file_comes_back_and_matches(chain: Chain, deployment: Deployment, tmp_path: Path) -> None:
    deployment.save(tmp_path / "d.json")
    assert Deployment.load(tmp_path / "d.json") == deployment
    deployment.check(chain)


def test_a_deployment_of_another_chain_code_or_version_is_named(chain: Chain, deployment: Deployment) -> None:
    with pytest.raises(ConfigurationError, match="chain 31337"):
        replace(deployment, chain_id=1).check(chain)
    with pytest.raises(ConfigurationError, match="other code"):
        replace(deployment, training_jobs=deployment.node_registry).check(chain)
    with pytest.raises(ConfigurationError, match="no code"):
        replace(deployment, training_jobs=STRANGER.address).check(chain)
    with pytest.raises(ConfigurationError, match="another interface"):
        replace(deployment, abis={**deployment.abis, "TrainingJobs": "00"}).check(chain)


@pytest.mark.parametrize(
    "change", ["not json", {"version": 9}, {"chain_id": "1"}, {"training_jobs": "0x12"}, {"more": 1}]
)
def test_a_damaged_deployment_file_is_named(
    deployment: Deployment, tmp_path: Path, change: str | dict[str, object]
) -> None:
    path = tmp_path / "d.json"
    deployment.save(path)
    path.write_text(change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigurationError, match=r"d\.json"):
        Deployment.load(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Deployment.load(tmp_path / "none.json")


def test_a_keystore_opens_under_its_password_alone_and_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    STRANGER.save(path, "right", iterations=1024)
    assert Signer.load(path, "right").address == STRANGER.address
    with pytest.raises(ConfigurationError, match="password is wrong"):
        Signer.load(path, "wrong")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        STRANGER.save(path, "right", iterations=1024)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Signer.load(path, "right")
    path.chmod(0o600)
    for wrong in ("[]", "{}", "x", '{"version": 1}', '{"version": 3, "crypto": {}}'):
        path.write_text(wrong)
        with pytest.raises(ConfigurationError, match="no keystore"):
            Signer.load(path, "right")
    assert (b"\7" * 32).hex() not in repr(STRANGER) + repr(vars(STRANGER))


class NarrowEndpoint(BaseHTTPRequestHandler):
    """Answers log queries of at most eight blocks."""

    asked: list[int] = []  # noqa: RUF012

    def do_POST(self) -> None:
        logs, newest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = logs["params"][0]
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": logs["id"]}
        known = {"jsonrpc": "2.0", "id": newest["id"], "result": {"number": newest["params"][0]}}
        if last - first >= 8:
            answer["error"] = {"code": -32005, "message": "range too large"}
        else:
            self.asked.append(last - first + 1)
            answer["result"] = [{"blockNumber": hex(number)} for number in range(first, last + 1)]
        body = json.dumps([answer, known]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_a_range_that_an_endpoint_refuses_is_halved_until_it_answers() -> None:
    server = HTTPServer(("127.0.0.1", 0), NarrowEndpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        chain = Chain(f"http://127.0.0.1:{server.server_port}")
        logs = list(chain.logs((), 0, 99))
        assert [int(log["blockNumber"], 16) for log in logs] == list(range(100))
        assert max(NarrowEndpoint.asked) <= 8
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Proxy(BaseHTTPRequestHandler):
    """Answers for whatever endpoint it is asked about, and notes which, and by whom."""

    asked: list[tuple[str, str | None]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        one = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"jsonrpc": "2.0", "id": one["id"], "result": "0x1"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_an_endpoint_is_asked_through_the_proxy_and_by_the_login_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine chain.example login clinic password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "near.example")
        assert Chain("http://chain.example:8545").chain_id() == 1
        login = "Basic " + b64encode(b"clinic:secret").decode()
        assert Proxy.asked == [("http://chain.example:8545/", login)]
        with pytest.raises(ChainFault, match="cannot be reached"):
            Chain("http://near.example:8545").chain_id()
        assert len(Proxy.asked) == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_gate_answers_for_several_at_once_as_for_each(
    chain: Chain, governor: Sender, deployment: Deployment
) -> None:
    nodes = Nodes(chain, deployment)
    party = Sender(chain, Signer.from_key(b"\x31" * 32))
    governor.wait(governor.transfer(party.address, 10**17))
    party.act(nodes.register(DIGEST, Safeguard.NONE))
    registered = party.address
    answers = nodes.refusals([STRANGER.address, registered], ANYWHERE)
    assert answers == {STRANGER.address: Refusal.NOT_REGISTERED, registered: Refusal.ATTESTATION_EXPIRED}
    assert answers == {one: nodes.refusal(one, ANYWHERE) for one in answers}
    assert nodes.refusals([], ANYWHERE) == {}


def test_an_endpoint_that_is_not_there_is_a_fault_to_wait_out() -> None:
    with pytest.raises(ChainFault, match="cannot be reached"):
        Chain("http://127.0.0.1:9").chain_id()


def test_a_chain_that_is_started_anew_gives_another_deployment(chain: Chain, deployment: Deployment) -> None:
    first = deployment.identity(chain)
    assert first.startswith(f"TrainingJobs {deployment.training_jobs} on chain 31337 since block ")
    while time.time() < chain.timestamp_of(deployment.first_block) + 1:
        time.sleep(0.05)
    with Devnet() as anew:
        again = Chain(anew.rpc_url)
        for _ in range(deployment.first_block):
            again.request("evm_mine")
        second = deployment.identity(again)
    assert second != first
    assert second.partition("(")[0] == first.partition("(")[0]
