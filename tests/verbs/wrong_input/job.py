"""Wrong input to the verbs of jobs, where job 1 has no members yet and job 2 has a model; what is wrong within an order
has tables of its own.
"""

from __future__ import annotations

from tests.verbs.wrong_input.desk import GONE, NO_FILE, NO_TOML, Row

NO_JOB = "job 9: no such job, there are jobs 1 to 2"

ROWS: tuple[Row, ...] = (
    ("job list --access GONE", GONE, 5),
    ("job create", "Missing argument 'SPEC'", 2),
    ("job create file", NO_TOML, 2),
    ("job create none.toml", f"'none.toml' {NO_FILE}", 2),
    ("job create SPEC --dryrun", "No such option", 2),
    ("job start 9", NO_JOB, 2),
    ("job start one", "'one' is not a valid integer", 2),
    ("job start 1 --wait-members 0", "0 is not in the range x>=1", 2),
    ("job cancel 0", "job 0: no such job", 2),
    ("job cancel 9", NO_JOB, 2),
    ("job cancel -1", "No such option", 2),
    ("job cancel first", "'first' is not a valid integer", 2),
    ("job advance", "Missing argument 'NUMBER'", 2),
    ("job advance 9", NO_JOB, 2),
    ("job advance first", "'first' is not a valid integer", 2),
    ("job advance 1 --access GONE", GONE, 5),
    ("job status 9", NO_JOB, 2),
    ("job watch", "Missing argument 'NUMBER'", 2),
    ("job watch 9", NO_JOB, 2),
    ("job export 1", "Missing option '--out'", 2),
    ("job export 1 --out new.safetensors", "job 1: no global model yet", 2),
    ("job export 2 --out file", "--out: file holds something else than the model of global round 1", 2),
    ("job export 2 --out empty", "name another file, or remove it", 2),
    ("job export 9 --out new.safetensors", NO_JOB, 2),
    ("job export 9 --out none/new.safetensors", "--out: there is no folder", 2),
    ("job lineage 9", NO_JOB, 2),
    ("job join 1", "Missing option '--config'", 2),
    ("job join 9 --config NODE", NO_JOB, 2),
    ("job join 1 --config MEMBER", "aggregator.toml: data: missing; add this key", 2),
    ("job leave 9 --config NODE", NO_JOB, 2),
)
