"""Wrong input to the verbs of attestations; what is wrong within their files has tables of its own."""

from __future__ import annotations

from tests.verbs.party_ground import CLINIC, MEMBER
from tests.verbs.wrong_input.desk import NO_ACCOUNT, NO_FILE, NO_TOML, Row

ASK = "attest request CLINIC --out new.json"
REVOKE = f"attest revoke {CLINIC.address} --yes --access BERLIN"
ONE_REASON = "--reason, --file: name one of them"

ROWS: tuple[Row, ...] = (
    (ASK, "Missing option '--jurisdiction'", 2),
    (f"{ASK} --jurisdiction de", "'de': no code of a jurisdiction", 2),
    (f"{ASK} --jurisdiction XX", "UnknownJurisdiction (code XX)", 2),
    (f"{ASK} --jurisdiction --", "UnknownJurisdiction (code --)", 2),
    (f"{ASK} --jurisdiction US", "US has no quorum of attesters yet", 2),
    (f"{ASK} --jurisdiction DE --days 0", "0 is not in the range", 2),
    (f"{ASK} --jurisdiction DE --days 4000", "4000 is not in the range", 2),
    (f"{ASK} --jurisdiction DE --assurance 256", "256 is not in the range", 2),
    (f"{ASK} --jurisdiction DE --kind rumour", "'rumour' is not one of", 2),
    (f"{ASK} --jurisdiction DE --evidence none.pdf", f"'none.pdf' {NO_FILE}", 2),
    ("attest request CLINIC --jurisdiction DE --out none/new.json", "--out: there is no folder", 2),
    ("attest request file --jurisdiction DE --out new.json", NO_TOML, 2),
    (
        "attest request MEMBER --jurisdiction DE --out new.json",
        f"{MEMBER.address} is not registered; its operator enters it with",
        2,
    ),
    ("attest sign none.json --out new.json", f"'none.json' {NO_FILE}", 2),
    ("attest sign file --out new.json", "is no attestation-request", 2),
    ("attest submit file", "Missing argument 'SIGNATURES...'", 2),
    ("attest submit file file", "is no attestation-request", 2),
    ("attest submit REQUEST SIGNATURE --config CLINIC --access CLINIC", "--config, --access: name only one of them", 2),
    (REVOKE, ONE_REASON, 2),
    (f"{REVOKE} --reason=", ONE_REASON, 2),
    ("attest revoke 0x12 --yes --reason moved", f"'0x12': {NO_ACCOUNT}", 2),
)
