"""Wrong input to what one machine does by itself: the command line, the sandbox, tasks, and a development chain."""

from __future__ import annotations

from tests.verbs.wrong_input.desk import ACCOUNT, GONE, NO_ACCOUNT, NO_ENDPOINT, NO_FILE, NOWHERE, SWAPPED, Row

ROWS: tuple[Row, ...] = (
    ("depoy", "No such command 'depoy'. Did you mean 'deploy'?; see `domicile --help`", 2),
    ("node enrol", "No such command 'enrol'", 2),
    ("--jsn", "No such option", 2),
    ("sandbox", "Missing argument 'FOLDER'", 2),
    ("sandbox none", NO_FILE, 2),
    ("sandbox folder", "folder/network.toml: no such file; create it or name another one", 2),
    ("task digest", "Missing argument 'USE'", 2),
    ("task digest tables", "task 'tables': no task has this name", 2),
    ("task digest mine.py:Mine", "mine.py cannot be read", 2),
    ("task digest tabular --folder none", NO_FILE, 2),
    ("devnet up --client geth", "'geth' is not one of 'anvil', 'ganache'", 2),
    ("devnet up --port 0", "0 is not in the range 1<=x<=65535", 2),
    ("devnet up --port 70000", "70000 is not in the range 1<=x<=65535", 2),
    ("devnet up --port high", "'high' is not a valid integer", 2),
    ("devnet up --host nowhere", "--host: 'nowhere' is no IPv4 address of this machine; write one that is", 2),
    ("devnet up --host 203.0.113.7", "is no IPv4 address of this machine; write one that is", 2),
    ("devnet up --block-time often", "'often' is not a valid float", 2),
    ("devnet up --block-time -1", "'--block-time': -1.0 is not in the range x>0", 2),
    ("devnet up --block-time 0", "0.0 is not in the range x>0", 2),
    ("devnet up --block-time inf", "inf is not finite", 2),
    ("devnet up --client ganache --block-time 0.5", "--block-time: ganache takes whole seconds, not 0.5; use anvil", 2),
    ("devnet up --state folder", "folder was not kept by anvil; name another place", 2),
    ("devnet up --folder file", "Directory 'file' is a file", 2),
    ("devnet status --folder file", "is a file", 2),
    ("devnet down --folder file", "is a file", 2),
    ("devnet down now", "Got unexpected extra argument (now)", 2),
    ("devnet fund", "Missing argument 'ACCOUNTS...'", 2),
    ("devnet fund 0x12", f"'0x12': {NO_ACCOUNT}", 2),
    (f"devnet fund {SWAPPED}", "its checksum is wrong, so that a digit may be", 2),
    (f"devnet fund {ACCOUNT}", "no chain runs here; start one with `domicile devnet up`, or name its --rpc", 2),
    (f"devnet fund {ACCOUNT} --rpc host:8545", NO_ENDPOINT, 2),
    (f"devnet fund {ACCOUNT} --rpc {NOWHERE}", GONE, 5),
    (f"devnet fund {ACCOUNT} --ether much", "'much' is not a valid float", 2),
    (f"devnet fund {ACCOUNT} --ether nan", "nan is not finite", 2),
    (f"devnet fund {ACCOUNT} --ether 0", "0.0 is not in the range 0<x<=1000", 2),
)
