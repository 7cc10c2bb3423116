"""The only door to a chain: client, contracts, events, errors, devnet."""

import sys

import py_ecc  # noqa: F401 - see below

sys.setrecursionlimit(1000)
# Python's own limit again. py_ecc, which web3 loads, raises it to 100,000, once and when it is loaded first; a peer's
# nested JSON would then overflow the stack and end the process, where it should be refused.
