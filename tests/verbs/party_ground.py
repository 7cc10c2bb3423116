"""Parties of a network, and the attesters of its places: two for DE, where both are needed, and one for FR alone."""

from __future__ import annotations

from pathlib import Path

from domicile.chain.account import Signer
from domicile.chain.devnet import Devnet
from domicile.chain.sender import Sender
from scripts.attestation_file import AttestationRequest, AttestationSignature, Evidence
from tests.verbs.network_ground import GOVERNOR, Network, Told, domicile, settle, write_access, write_keys

BERLIN, BONN, BRUSSELS, PARIS, CLINIC, MEMBER = (Signer.from_key(bytes([number]) * 32) for number in range(31, 37))
ATTESTERS = {"berlin": BERLIN, "bonn": BONN, "brussels": BRUSSELS, "paris": PARIS}
"""``brussels`` attests in all of the EU and is added by a test that needs it."""

PLACES = (
    ("jurisdiction", "set", "EU", "--tier", "open"),
    ("jurisdiction", "set", "DE", "--tier", "open", "--parent", "EU"),
    ("jurisdiction", "set", "FR", "--tier", "open", "--parent", "EU"),
    ("jurisdiction", "set", "US", "--tier", "open"),
    ("jurisdiction", "quorum", "EU", 2),
    ("attester", "add", BERLIN.address, "--for", "DE"),
    ("attester", "add", BONN.address, "--for", "DE"),
    ("attester", "add", PARIS.address, "--for", "FR"),
)


def settle_with_attesters(folder: Path, devnet: Devnet) -> Network:
    """A network with places, its attesters' folders, and one ``clinic``, which is not registered yet."""
    network = settle(folder, devnet)
    for place in ("region", "border"):
        (folder / place).mkdir()
    for act in PLACES:
        told = network.does(*act)
        assert told.code == 0, told.err
    governor = Sender(network.chain, GOVERNOR)
    for name, signer in ATTESTERS.items():
        write_access(folder, devnet.rpc_url, name, signer)
        governor.wait(governor.transfer(signer.address, 10**18))
    make_party(network, "node", "clinic", CLINIC)
    make_party(network, "aggregator", "member", MEMBER)
    return network


def make_party(network: Network, role: str, name: str, signer: Signer) -> Path:
    """A funded party whose configuration `init` wrote with every field, around keys that are quick to open."""
    folder = network.folder / name
    write_keys(folder, signer)
    (folder / "rows.csv").write_text("x1,x2,y\n" + "0.5,1.5,1\n-1.5,0.25,0\n" * 20, encoding="utf-8")
    told = domicile(
        *(role, "init", "--folder", folder, "--name", name, "--rpc", network.rpc_url),
        *("--deployment", network.folder / "deployment.json", "--password-file", network.folder / "password"),
        *("--region", f"dir:{network.folder}/region", "--border", f"dir:{network.folder}/border"),
        *(("--train", folder / "rows.csv") if role == "node" else ()),
    )
    assert told.code == 0, told.err
    governor = Sender(network.chain, GOVERNOR)
    governor.wait(governor.transfer(signer.address, 10**18))
    return folder / f"{role}.toml"


def config(network: Network, name: str = "clinic") -> Path:
    role = "aggregator" if name == "member" else "node"
    return network.folder / name / f"{role}.toml"


def register(network: Network, name: str = "clinic") -> Told:
    path = config(network, name)
    return domicile(path.stem, "register", path, "--json")


def written_request(network: Network, **changes: object) -> AttestationRequest:
    """That the clinic is in DE, from a minute ago for 30 days, unless told otherwise."""
    now_s = network.chain.timestamp()
    asked: dict[str, object] = {
        "chain_id": network.deployment.chain_id,
        "node_registry": network.deployment.node_registry,
        "node": CLINIC.address,
        "jurisdiction": "DE",
        "assurance": 0,
        "evidence": Evidence(kind="registry-extract", document=None, salt="5a" * 16),
        "valid_from_s": now_s - 60,
        "valid_until_s": now_s + 30 * 24 * 3600,
        "nonce": network.nodes.standing_of(CLINIC.address).nonce,
    }
    return AttestationRequest(**{**asked, **changes})  # type: ignore[arg-type]


def signed(network: Network, asked: AttestationRequest, signer: Signer, **changes: object) -> AttestationSignature:
    """A true signature, unless told otherwise."""
    found: dict[str, object] = {
        "request": asked.digest.hex(),
        "attester": signer.address,
        "signature": signer.sign_typed_data(network.nodes.typed_data(asked.attestation)).hex(),
    }
    return AttestationSignature(**{**found, **changes})  # type: ignore[arg-type]


def attest(network: Network, asked: AttestationRequest) -> None:
    """Enters an attestation by its two attesters."""
    signers = sorted((BERLIN, BONN), key=lambda one: int(one.address, 16))
    signatures = [one.sign_typed_data(network.nodes.typed_data(asked.attestation)) for one in signers]
    Sender(network.chain, GOVERNOR).act(network.nodes.attest(asked.attestation, signatures))
