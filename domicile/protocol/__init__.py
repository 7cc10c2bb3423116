"""Pure rules: no I/O, clock, torch or web3. The contracts' twin."""
