"""Wrong input to the verbs of a party: made, registered, looked at, run, retired, examined."""

from __future__ import annotations

from tests.verbs.wrong_input.desk import NO_ENDPOINT, NO_FILE, NO_PASSWORD, NO_TOML, Row

INIT = "node init --folder new --name clinic --password-file file"
NO_STORE = "--region, --border: no store; write dir:PATH, or http://HOST:PORT"

ROWS: tuple[Row, ...] = (
    ("node init --name clinic", "Missing option '--folder'", 2),
    ("node init --folder new", "Missing option '--name'", 2),
    (
        "node init --folder new --name two\u00a0words",
        "--name: 'two\\xa0words' is no name; take up to 64 letters, digits, dots, dashes and _",
        2,
    ),
    (f"{INIT} --rpc key@host", NO_ENDPOINT, 2),
    (f"{INIT} --region stores/de", NO_STORE, 2),
    (f"{INIT} --border dir:", NO_STORE, 2),
    (f"{INIT} --password secret", "No such option '--password'", 2),
    ("node init --folder new --name clinic", NO_PASSWORD, 2),
    ("node init --folder new --name clinic --password-file empty", "the password is empty; give one", 2),
    ("node init --folder file --name clinic", "Directory 'file' is a file", 2),
    ("node init --folder file/new --name clinic", "file/new cannot be made", 2),
    ("node register", "Missing argument 'CONFIG'", 2),
    ("node register none.toml", NO_FILE, 2),
    ("node register file", f"file: {NO_TOML}", 2),
    ("node register MEMBER", "configures an aggregator; use `domicile aggregator`, or name another file", 2),
    ("node status none.toml", f"'none.toml' {NO_FILE}", 2),
    ("node status file", NO_TOML, 2),
    ("node run", "Missing argument 'CONFIG'", 2),
    ("node run file", NO_TOML, 2),
    ("node run empty", "empty: name: missing; add this key", 2),
    ("node retire MEMBER --yes", "configures an aggregator; use `domicile aggregator`", 2),
    ("aggregator init --folder new", "Missing option '--name'", 2),
    (f"aggregator init --folder new --name {'n' * 65}", "is no name; take up to 64 letters", 2),
    ("aggregator init --folder new --name a --train rows.csv", "No such option '--train'", 2),
    ("aggregator register folder", "is a directory", 2),
    ("aggregator status none.toml", NO_FILE, 2),
    ("aggregator status CLINIC", "configures a node; use `domicile node`, or name another file", 2),
    ("aggregator run file", NO_TOML, 2),
    ("aggregator retire CLINIC --yes", "configures a node; use `domicile node`", 2),
    ("doctor", "Missing argument 'CONFIG'", 2),
    ("doctor file", NO_TOML, 2),
    ("doctor CLINIC --rounds 0", "0 is not in the range x>=1", 2),
    ("doctor CLINIC --disk-rounds many", "'many' is not a valid integer", 2),
    ("doctor CLINIC --bundle none/support.zip", "lies in no folder that exists; name another file", 2),
    ("doctor CLINIC --bundle file", "exists already and is no bundle; name another file", 2),
    ("doctor CLINIC --log none.log --bundle support.zip", NO_FILE, 2),
    ("audit leakage 1", "Missing option '--config'", 2),
    ("audit leakage one --config CLINIC", "'one' is not a valid integer", 2),
    ("audit leakage 1 --config none.toml", NO_FILE, 2),
    ("audit leakage 1 --config file", NO_TOML, 2),
    ("audit leakage 1 --config MEMBER", "data: missing; add this key", 2),
    ("audit leakage 1 --config CLINIC", "job 1: no such job, there is none yet; `domicile job list` lists them", 2),
    ("audit leakage 1 --config CLINIC --shadows 5", "--shadows: 5 is odd, and each row goes into half of them", 2),
    ("audit leakage 1 --config CLINIC --shadows 2", "2 is not in the range", 2),
    ("audit leakage 1 --config CLINIC --canaries -1", "-1 is not in the range", 2),
    ("audit leakage 1 --config CLINIC --confidence 2", "--confidence", 2),
    ("audit leakage 1 --config CLINIC --out none/page.html", "/none; make it or name another file", 2),
)
