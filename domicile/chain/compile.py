"""``python -m domicile.chain.compile``: Solidity sources to ``build/contracts.json``.

The compiler is npm's ``solc``, pinned by the lock file of ``hardhat-free-devnet`` and driven by py-solc-x through a
small launcher there. A second run does nothing while sources, settings and compiler are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from domicile.chain.artifacts import ARTIFACTS_FILE, FORMAT, REPOSITORY
from domicile.errors import ConfigurationError

SOURCES = REPOSITORY / "contracts"
DEVNET = REPOSITORY / "hardhat-free-devnet"
LAUNCHER = DEVNET / "solc.cjs"
LOCK_FILE = DEVNET / "package-lock.json"

LIBRARY_CONTRACTS = ("@openzeppelin/contracts/access/manager/AccessManager.sol",)

SETTINGS: dict[str, Any] = {
    # The newest hardfork that ganache knows, so that the same bytecode runs on every development chain.
    "evmVersion": "shanghai",
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 800},
    # The compiler appends a hash of all metadata otherwise: a comment would change the bytecode.
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "outputSelection": {
        "*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"], "": ["ast"]},
    },
}


def _sources() -> dict[str, str]:
    files = sorted(SOURCES.rglob("*.sol"))
    if not files:
        raise ConfigurationError(f"{SOURCES.name}: no Solidity sources; install Domicile from a checkout")
    return {file.relative_to(REPOSITORY).as_posix(): file.read_text(encoding="utf-8") for file in files}


def _standard_input(sources: dict[str, str]) -> dict[str, Any]:
    roots = "".join(f'import "{name}";\n' for name in LIBRARY_CONTRACTS)
    library = f"// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n{roots}"
    contents = {**sources, "library.sol": library}
    return {
        "language": "Solidity",
        "sources": {name: {"content": content} for name, content in contents.items()},
        "settings": SETTINGS,
    }


def source_digest(standard_input: dict[str, Any]) -> str:
    """Hexadecimal sha-256 of all that decides the result: input, launcher, lock file (compiler and library)."""
    state = hashlib.sha256(json.dumps(standard_input, sort_keys=True).encode())
    state.update(LAUNCHER.read_bytes())
    state.update(LOCK_FILE.read_bytes())
    return state.hexdigest()


def _run_compiler(standard_input: dict[str, Any]) -> dict[str, Any]:
    import solcx
    from solcx.exceptions import SolcError

    if shutil.which("node") is None:
        raise ConfigurationError("node: not found on the PATH; install Node.js 20 or newer")
    if not (DEVNET / "node_modules" / "solc").is_dir():
        raise ConfigurationError("hardhat-free-devnet: the npm packages are missing; run `make setup`")
    try:
        output: dict[str, Any] = solcx.compile_standard(standard_input, solc_binary=LAUNCHER)
    except SolcError as error:
        raise ConfigurationError(
            f"contracts: do not compile; mend the source and run again\n{error.message}"
        ) from error
    return output


def _contracts(output: dict[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for source, contracts in output["contracts"].items():
        for name, contract in contracts.items():
            ours = source == f"contracts/{name}.sol" or source in LIBRARY_CONTRACTS
            if ours and contract["evm"]["bytecode"]["object"]:
                wanted[name] = {
                    "abi": contract["abi"],
                    "bytecode": contract["evm"]["bytecode"]["object"],
                    "runtime": contract["evm"]["deployedBytecode"]["object"],
                }
    return wanted


def _enums(output: dict[str, Any]) -> dict[str, list[str]]:
    return {
        node["name"]: [member["name"] for member in node["members"]]
        for source, unit in output["sources"].items()
        if source.startswith("contracts/interfaces/")
        for node in unit["ast"]["nodes"]
        if node["nodeType"] == "EnumDefinition"
    }


def _is_current(path: Path, digest: str) -> bool:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT and document.get("sources") == digest


def _write(path: Path, document: dict[str, Any]) -> None:
    """Writes beside the file and renames, so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(document, stream, sort_keys=True, separators=(",", ":"))
    Path(temporary).replace(path)


def compile_contracts(path: Path = ARTIFACTS_FILE) -> bool:
    """Brings the file up to date; false when it already was.

    Raises:
        ConfigurationError: node or the npm packages are missing, or a source does not compile.
    """
    standard_input = _standard_input(_sources())
    digest = source_digest(standard_input)
    if _is_current(path, digest):
        return False
    output = _run_compiler(standard_input)
    _write(path, {"format": FORMAT, "sources": digest, "contracts": _contracts(output), "enums": _enums(output)})
    return True


def main() -> int:
    try:
        compiled = compile_contracts()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{ARTIFACTS_FILE.relative_to(REPOSITORY)}: {'compiled' if compiled else 'up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
