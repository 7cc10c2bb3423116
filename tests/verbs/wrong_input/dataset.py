"""Wrong input to the verbs of datasets, where none is registered yet."""

from __future__ import annotations

from tests.verbs.wrong_input.desk import ACCOUNT, GONE, NO_ACCOUNT, NO_FILE, SWAPPED, Row

GRANT = "dataset grant 1 --days 3"
ONE_END = "--until, --days: name one of them, so that the grant ends"
BOTH = "--epsilon, --delta: missing; say both, or --withdraw"
NO_DATASET = "no such dataset, there is none yet"

ROWS: tuple[Row, ...] = (
    ("dataset register file", "Missing option '--holder'", 2),
    (f"dataset register none.csv --holder {ACCOUNT}", NO_FILE, 2),
    (f"dataset register folder --holder {ACCOUNT}", "folder: a folder without files; name the data", 2),
    ("dataset register file --holder 0x12", NO_ACCOUNT, 2),
    (f"dataset register file --holder {SWAPPED}", "its checksum is wrong", 2),
    (f"dataset register file --holder {ACCOUNT} --access GONE", GONE, 5),
    ("dataset grant", "Missing argument 'NUMBER'", 2),
    ("dataset grant one --withdraw", "'one' is not a valid integer", 2),
    ("dataset grant 1", BOTH, 2),
    (f"{GRANT} --epsilon 1", BOTH, 2),
    (f"{GRANT} --epsilon -1 --delta 0", "--epsilon: -1 is below 0; write what may be spent", 2),
    (f"{GRANT} --epsilon 0 --delta 0", "--epsilon: 0 admits no job; grant more, or --withdraw", 2),
    (f"{GRANT} --epsilon much --delta 0", "--epsilon: 'much' is no number; write one like 0.5 or 1e-5", 2),
    (f"{GRANT} --epsilon nan --delta 0", "--epsilon: 'nan' is no number", 2),
    (f"{GRANT} --epsilon inf --delta 0", "--epsilon: 'inf' is no number", 2),
    (f"{GRANT} --epsilon 1e30 --delta 0", "is above 2.81475e+08, the most that the ledger holds", 2),
    (f"{GRANT} --epsilon 1e999999999 --delta 0", "the most that the ledger holds", 2),
    (f"{GRANT} --epsilon 0.0000001 --delta 0", "has more than 6 decimals; round it down", 2),
    (f"{GRANT} --epsilon 1 --delta -1e-5", "--delta: -1e-5 is below 0", 2),
    (f"{GRANT} --epsilon 1 --delta 1", "--delta: 1 is above 0.0720576, the most that the ledger holds", 2),
    (f"{GRANT} --epsilon 1 --delta 1e-19", "has more than 18 decimals; round it down", 2),
    ("dataset grant 1 --epsilon 1 --delta 0", ONE_END, 2),
    (f"{GRANT} --epsilon 1 --delta 0 --until 2100-01-01", ONE_END, 2),
    ("dataset grant 1 --epsilon 1 --delta 0 --days 0", "0 is not in the range x>=1", 2),
    ("dataset grant 1 --epsilon 1 --delta 0 --until soon", "'soon': no day; write YYYY-MM-DD", 2),
    (f"{GRANT} --withdraw", "--withdraw: goes without --epsilon, --delta, --until and --days", 2),
    (f"{GRANT} --epsilon 1 --delta 0", f"dataset 1: {NO_DATASET}", 2),
    ("dataset grant 1 --withdraw --access GONE", GONE, 5),
    ("dataset return 1 --epsilon 1", "Missing option '--delta'", 2),
    ("dataset return 1 --epsilon -1 --delta 0", "--epsilon: -1 is below 0", 2),
    ("dataset return 1 --epsilon 0 --delta none", "--delta: 'none' is no number", 2),
    ("dataset return 1 --epsilon 0 --delta 0", "job 1: no such job, there is none yet", 2),
    ("dataset return 1 --epsilon 0 --delta 0 --node 0x12", NO_ACCOUNT, 2),
    ("dataset status 0", f"dataset 0: {NO_DATASET}", 2),
    ("dataset status first", "'first' is not a valid integer", 2),
    ("dataset status --access GONE", GONE, 5),
)
