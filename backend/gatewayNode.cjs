/**
 * The Node that the gateway runs on, primary and workers alike: GATEWAY_NODE (backend/src/config/environmentSchema.ts), or
 * the one that starts it. For the ecosystem files, and as a program for `npm run balancer`: it prints the path.
 *
 * Another Node is tried before anything is started on it: it loads the whole gateway, as far as its help text. PM2 would
 * start a gateway that can't run over and over, and say why in a log only.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const { packageFolder, projectFolder: root } = require('./installation.cjs');
const { settingsAt } = require('./startedWith.cjs');

const ENTRY = path.join(packageFolder, 'backend/dist/gateway.js');
/** As in package.json; test/house/ecosystem.test.ts keeps the two in step. */
const LEAST = [20, 19];
/** Loading the gateway takes a quarter of a second; a machine may be busy. */
const PATIENCE_MS = 20_000;

/**
 * @param {Record<string, string | undefined>} settings `.env` and the environment together
 * @returns {string | null} full path, with its links as they are: one that is moved to another version counts at the next
 *   start; null: none is set
 */
function gatewayNodeOf({ GATEWAY_NODE: program }) {
  return program ? path.resolve(root, program) : null;
}

/** @throws with a sentence for people where the gateway can't run on `program` */
function requireNode(program) {
  const named = `GATEWAY_NODE is "${program}"`;
  const advice =
    'Set it to the path of a Node, or remove it: then the gateway runs on the Node that starts it.';
  const refusal = (why) => new Error(`${named}: ${why}. ${advice}`);
  const file = fs.statSync(program, { throwIfNoEntry: false });
  if (file === undefined) throw refusal('there is no such file');
  if (!file.isFile()) throw refusal('it is not a file');
  if (!isExecutable(program)) throw refusal('it may not be executed by this user');
  if (program.includes('@')) {
    throw refusal(
      'PM2 takes what follows an @ for a version. Make a link to it that has none, and name that',
    );
  }
  const version = run(program, ['--version']);
  const [, major, minor] = /^v(\d+)\.(\d+)\./.exec(version.stdout) ?? [];
  if (major === undefined) throw refusal(`it does not run, or is no Node: ${version.why}`);
  if (isOlder([major, minor])) {
    throw refusal(`it is Node ${version.stdout.trim()}, and the gateway needs ${LEAST.join('.')} or newer`);
  }
  const tried = run(program, [ENTRY, '--help']);
  if (tried.status !== 0) throw refusal(`the gateway can't be loaded by it: ${tried.why}`);
}

function isExecutable(program) {
  try {
    fs.accessSync(program, fs.constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isOlder([major, minor]) {
  const [leastMajor, leastMinor] = LEAST;
  return Number(major) < leastMajor || (Number(major) === leastMajor && Number(minor) < leastMinor);
}

function run(program, words) {
  const { status, signal, stdout, stderr, error } = spawnSync(program, words, {
    encoding: 'utf8',
    timeout: PATIENCE_MS,
  });
  const said = (stderr ?? '')
    .trim()
    .split('\n')
    .findLast((line) => line !== '');
  const why =
    error?.message ?? said ?? (signal === null ? `it ended with ${status}` : `it ended by ${signal}`);
  return { status, stdout: stdout ?? '', why };
}

/** Prints the path of the Node for a gateway without PM2, or why there is none. */
function main() {
  try {
    const program = gatewayNodeOf(settingsAt(root));
    if (program !== null) requireNode(program);
    process.stdout.write(`${program ?? process.execPath}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 78;
  }
}

if (require.main === module) main();

module.exports = { gatewayNodeOf, LEAST, requireNode };
