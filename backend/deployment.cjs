/**
 * What the applications of one deployment have in common: settings, folders, log files, and the variables that each gets.
 * For ecosystem files: CommonJS and without dependencies, because any `pm2`, also a global one, loads it.
 *
 * Environments are explicit. PM2 would hand the whole shell in which `pm2 start` is typed to every process and keep
 * it in its dump; here an instance gets a minimal base, its own variables and nothing else, and the supervisor in
 * addition the settings of Holdfast that were set in that shell. What stands in `.env` or `config.yml` is not
 * handed on: the supervisor reads these itself, so that they can still be edited.
 *
 * No secret is handed to PM2: it shows what it is given in its list and writes it to its dump. One that was set in the
 * shell, or that an application needs, is kept in a private file, and PM2 gets that path (`HA_API_TOKEN_FILE`).
 */
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { isPackage, packageFolder, projectFolder: root } = require('./installation.cjs');
const { makeSocketFolder } = require('./socketFolder.cjs');
const { namedByFiles, settingsAt } = require('./startedWith.cjs');

/** What any process needs to find its way on the machine. */
const BASE = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|NODE_EXTRA_CA_CERTS|NVM_DIR)$/;

/**
 * What an ecosystem file takes from the shell or from `.env` for its own applications, beside the settings of Holdfast.
 * @typedef {object} Variables
 * @property {RegExp} names of the variables, with `NAME_FILE` for each secret
 * @property {readonly string[]} [secrets] which of them are secret, without `_FILE`
 */

/** @type {Variables} */
const NONE = { names: /^$/, secrets: [] };

/** Settings that these files themselves need. */
const readSettings = ({ secrets }) => refusing(() => settingsAt(root, secrets));

const isRemoving = () => process.argv.some((word) => /^(delete|stop|down)$/.test(word));

/** The entries of `variables` whose names match one of `patterns`; empty values count as not set. */
function pick(variables, ...patterns) {
  return Object.fromEntries(
    Object.entries(variables).filter(
      ([name, value]) => value !== '' && patterns.some((pattern) => pattern.test(name)),
    ),
  );
}

/** A message without a stack: PM2 prints whatever an ecosystem file throws. */
function refuse(message) {
  const error = new Error(message);
  error.stack = `\n${message}\n`;
  return error;
}

/** What `run` returns; what it throws is a sentence for people. */
function refusing(run) {
  try {
    return run();
  } catch (error) {
    throw refuse(error.message);
  }
}

/** Starting something that was never built fails in ways that say nothing; removing it must still work. */
function requireBuild(scripts) {
  const missing = scripts.filter((script) => !fs.existsSync(path.join(packageFolder, script)));
  if (missing.length === 0 || isRemoving()) return;
  const advice = isPackage
    ? 'Install the package again: it was packed without its build.'
    : `Run this first, then start it again:\n\n    cd ${packageFolder} && npm ci && npm run build`;
  throw refuse(
    `Holdfast is not built yet: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.\n${advice}`,
  );
}

/** Where agents and supervisor meet: settled here, because both sides are started from here. */
function agentSocketOf(settings, dataDirectory) {
  try {
    const folder = makeSocketFolder(dataDirectory);
    if (settings.HA_AGENT_SOCKET) return path.resolve(root, settings.HA_AGENT_SOCKET);
    return path.join(folder, 'agents.sock');
  } catch (error) {
    throw refuse(`There is no folder for the sockets of the supervisor: ${error.message}.`);
  }
}

/** Options of PM2 for every application that Holdfast defines. */
function common(logs) {
  return {
    // Excludes every variable whose name contains the empty string, which is: all. PM2 ignores a plain `true`.
    filter_env: [''],
    autorestart: true,
    kill_timeout: 10_000,
    pmx: false,
    vizion: false,
    merge_logs: true,
    out_file: logs.out,
    error_file: logs.error,
  };
}

/** HOST only where it is an address: some shells export the machine's name under it. */
function hostOf(variables) {
  return variables.HOST && net.isIP(variables.HOST) ? { HOST: variables.HOST } : {};
}

/**
 * Settings, folders and log files that the applications of one deployment share.
 * @param {object} [deployment]
 * @param {string} [deployment.logPrefix] first part of the names of PM2's log files; default `pm2`
 * @param {Variables} [deployment.variables] default: none
 */
function deploymentOf({ logPrefix = 'pm2', variables = NONE } = {}) {
  const settings = readSettings(variables);
  const logDirectory = path.resolve(root, settings.HA_LOG_DIR || 'logs');
  const dataDirectory = path.resolve(root, settings.HA_DATA_DIR || 'data');
  const logs = (name) => ({
    out: path.join(logDirectory, `${logPrefix}-${name}-out.log`),
    error: path.join(logDirectory, `${logPrefix}-${name}-error.log`),
  });
  /** What PM2 is given of `given`: for each secret the path of a file that holds it. */
  const withoutSecrets = (given) => {
    const place = { root, dataDirectory, isRemoving: isRemoving(), secrets: variables.secrets };
    return refusing(() => namedByFiles(given, place));
  };
  return {
    root,
    settings,
    variables,
    dataDirectory,
    agentSocket: agentSocketOf(settings, dataDirectory),
    // The same for a stop by hand (`pm2 stop`) and for one by the supervisor, which also reads config.yml and
    // says if a value makes no sense.
    killTimeoutMs: Number(settings.KILL_TIMEOUT) || 10_000,
    logs,
    withoutSecrets,
  };
}

module.exports = { BASE, common, deploymentOf, hostOf, isRemoving, pick, refuse, refusing, requireBuild };
