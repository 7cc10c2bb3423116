"""Wrong input to the verbs of those who make a network, govern it and audit it."""

from __future__ import annotations

from tests.verbs.network_ground import GOVERNOR, NODE, OFFICE
from tests.verbs.party_ground import BERLIN
from tests.verbs.wrong_input.desk import (
    ACCOUNT,
    GONE,
    NO_ACCOUNT,
    NO_CODE,
    NO_ENDPOINT,
    NO_FILE,
    NO_PASSWORD,
    NO_ROLE,
    NO_TOML,
    NOWHERE,
    Row,
)

INIT = f"access init --folder new --rpc {NOWHERE}"
CLEAR = f"clear {NODE.address} --policy file"
NOT_LISTED = "UnknownJurisdiction (code XX): it is not listed on this network (listed: DE, EU"
ONE_OF_TWO_REASONS = "--reason, --file: name one of them"
ONE_OF_TWO_ENDS = "--until, --days: name one of them"

ROWS: tuple[Row, ...] = (
    # An account to act with, and contracts.
    (f"access init --rpc {NOWHERE}", "Missing option '--folder'", 2),
    ("access init --folder new", "Missing option '--rpc'", 2),
    ("access init --folder new --rpc ftp://host", NO_ENDPOINT, 2),
    ("access init --folder new --rpc key@host", NO_ENDPOINT, 2),
    (INIT, NO_PASSWORD, 2),
    (f"{INIT} --password-file none", NO_FILE, 2),
    (f"{INIT} --password-file empty", "the password is empty; give one", 2),
    (f"access init --folder file/new --rpc {NOWHERE} --password-file empty", "--folder: file/new cannot be made", 2),
    ("access show --access none.toml", "none.toml: no such file; name the access file of a network", 2),
    ("access show --access file", f"file: {NO_TOML}", 2),
    ("access show --access GONE", GONE, 5),
    ("access show --access ELSEWHERE", "is for chain 11155111", 2),
    ("deploy --account file", "Missing option '--rpc'", 2),
    ("deploy --rpc ws://host --account file", NO_ENDPOINT, 2),
    (f"deploy --rpc {NOWHERE} --account none.json", "none.json cannot be read", 2),
    (f"deploy --rpc {NOWHERE} --account file", NO_PASSWORD, 2),
    (f"deploy --rpc {NOWHERE} --account OTHER_KEY --password-file PASSWORD --out new.json", GONE, 5),
    ("deploy --rpc RPC --account file --password-file PASSWORD --out new.json", "file can be read by others", 2),
    ("deploy --rpc RPC --account file --out none/new.json", "--out: there is no folder", 2),
    ("deploy --rpc RPC --account file --max-fee-gwei 0", "0.0 is not in the range x>0", 2),
    ("deploy --rpc RPC --account file --loosening-delay -1", "-1 is not in the range", 2),
    # Governance.
    ("role grant boss 0x12", "'boss' is not one of 'administrator', 'auditor'", 2),
    ("role grant auditor", "Missing argument 'ACCOUNT'", 2),
    ("role grant auditor 0x12", NO_ACCOUNT, 2),
    (f"role grant auditor {ACCOUNT} --delay soon", "'soon' is not a valid integer", 2),
    (f"role grant auditor {ACCOUNT} --delay 5000000000", "is not in the range", 2),
    (f"role grant auditor {ACCOUNT} --access OTHER", NO_ROLE, 2),
    (f"role revoke auditor {GOVERNOR.address} --yes --access OTHER", NO_ROLE, 2),
    (f"role revoke administrator {GOVERNOR.address}", "is the last administrator", 2),
    ("role list extra", "Got unexpected extra argument (extra)", 2),
    ("role list --access GONE", GONE, 5),
    ("jurisdiction list --access file", NO_TOML, 2),
    ("jurisdiction set nl --tier open", f"'nl': {NO_CODE}", 2),
    ("jurisdiction set EUROPEAN-UNION --tier open", NO_CODE, 2),
    ("jurisdiction set NL", "NL is new: say with --tier how it stands", 2),
    ("jurisdiction set NL --tier fine", "'fine' is not one of 'open'", 2),
    ("jurisdiction set NL --tier open --parent XX", f"--parent: {NOT_LISTED}", 2),
    ("jurisdiction set DE --tier open --parent US", "DE lies in EU, which is fixed since it was listed", 2),
    ("jurisdiction set NL --tier open --basis none.pdf", f"'none.pdf' {NO_FILE}", 2),
    ("jurisdiction set NL --tier open --access OTHER", NO_ROLE, 2),
    ("jurisdiction quorum EU 0", "0 is not in the range 1<=x<=64", 2),
    ("jurisdiction quorum EU 65", "65 is not in the range 1<=x<=64", 2),
    ("jurisdiction quorum XX 2", f"CODE: {NOT_LISTED}", 2),
    ("jurisdiction quorum EU 3 --access OTHER", NO_ROLE, 2),
    ("jurisdiction guardian me", NO_ACCOUNT, 2),
    (f"jurisdiction guardian {ACCOUNT} --access OTHER", NO_ROLE, 2),
    (f"attester add {ACCOUNT}", "Missing option '--for'", 2),
    (f"attester add {ACCOUNT} --for DE --for XX", f"--for: {NOT_LISTED}", 2),
    (f"attester add {BERLIN.address} --for FR", "is an attester for DE; its places never change", 2),
    (f"attester add {ACCOUNT} --for DE --access OTHER", NO_ROLE, 2),
    ("attester remove berlin", NO_ACCOUNT, 2),
    (f"attester remove {BERLIN.address} --access OTHER", NO_ROLE, 2),
    ("attester list --access ELSEWHERE", "is for chain 11155111", 2),
    # An auditor's acts.
    (f"clear {NODE.address} --class special --days 9", "Missing option '--policy'", 2),
    (f"{CLEAR} --days 9", "--class: missing", 2),
    (f"{CLEAR} --class public --days 9", "'public' is not one of", 2),
    (f"{CLEAR} --class special", ONE_OF_TWO_ENDS, 2),
    (f"{CLEAR} --class special --days 9 --until 2100-01-01", ONE_OF_TWO_ENDS, 2),
    (f"{CLEAR} --class special --days 0", "0 is not in the range x>=1", 2),
    (f"{CLEAR} --class special --until tomorrow", "'tomorrow': no day; write YYYY-MM-DD", 2),
    (f"{CLEAR} --class special --until 2030-02-30", "no day; write YYYY-MM-DD", 2),
    (f"{CLEAR} --class special --until 2001-01-01", "OutsideValidity", 3),
    (f"{CLEAR} --class special --withdraw", "--withdraw: goes without --class", 2),
    (f"{CLEAR} --class special --days 9 --access OTHER", NO_ROLE, 2),
    (f"clear {OFFICE.address} --class special --days 9 --policy file", "UnknownNode", 3),
    (f"suspend {NODE.address}", ONE_OF_TWO_REASONS, 2),
    (f"suspend {NODE.address} --reason x --file file", ONE_OF_TWO_REASONS, 2),
    (f"suspend {NODE.address} --file none.txt", NO_FILE, 2),
    (f"suspend {NODE.address} --reason why --access OTHER", NO_ROLE, 2),
)
