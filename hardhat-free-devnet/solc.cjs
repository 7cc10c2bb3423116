#!/usr/bin/env node
// The pinned compiler as a program that py-solc-x can drive: `--version`, or standard JSON from stdin to stdout.
// The packaged `solcjs --standard-json` reads stdin synchronously, which fails with EAGAIN on a pipe.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const solc = require("solc");

const LIBRARY_PREFIX = "@openzeppelin/";

/** Only the pinned library is read from disk; all sources of ours come in the input, so that it alone decides the result. */
function findImport(name) {
  if (!name.startsWith(LIBRARY_PREFIX)) {
    return { error: `${name}: not part of the input and not below ${LIBRARY_PREFIX}` };
  }
  const file = path.join(__dirname, "node_modules", path.normalize(name));
  try {
    return { contents: fs.readFileSync(file, "utf8") };
  } catch (error) {
    return { error: `${name}: ${error.message}` };
  }
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

async function main() {
  if (process.argv.includes("--version")) {
    process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
    return;
  }
  const input = await readAll(process.stdin);
  process.stdout.write(solc.compile(input, { import: findImport }));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
