/**
 * The secrets that a deployment is started with. PM2 shows what it is given in its list and writes it to its dump, so it is
 * given paths. A secret that was set itself is kept in a private file of the data folder, where the processes that need it
 * read it at each start, also when PM2 starts them alone:
 *
 *     secrets/environment/NAME   from the shell that started the deployment
 *     secrets/dotenv/NAME        from `.env`, for applications, which do not read that
 *
 * They are kept apart because `.env` is the same for each command, and a shell is not.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { parseEnv } = require('node:util');

const { keepSecret, SECRETS } = require('./secretFiles.cjs');

/**
 * `.env` in the folder `root`, and over it the environment.
 * @param {readonly string[]} [own] secrets of the applications, beside those of Holdfast
 * @throws with a sentence for people where one source names a secret twice
 */
function settingsAt(root, own = []) {
  const file = path.join(root, '.env');
  const fromFile = fs.existsSync(file) ? parseEnv(fs.readFileSync(file, 'utf8')) : {};
  return settingsOf(fromFile, process.env, own);
}

/**
 * Both sources together; where a secret is, the stronger one says, by either name.
 * @param {readonly string[]} own secrets of the applications, beside those of Holdfast
 * @throws with a sentence for people where one source names a secret twice
 */
function settingsOf(dotEnv, environment, own) {
  const secrets = [...SECRETS, ...own];
  requireOneOfTwo(dotEnv, '.env', secrets);
  requireOneOfTwo(environment, 'the environment', secrets);
  const weaker = { ...dotEnv };
  for (const name of secrets) {
    if (environment[name]) delete weaker[`${name}_FILE`];
    if (environment[`${name}_FILE`]) delete weaker[name];
  }
  return { ...weaker, ...environment };
}

function requireOneOfTwo(variables, source, secrets) {
  const twice = secrets.find((name) => variables[name] && variables[`${name}_FILE`]);
  if (twice === undefined) return;
  throw new Error(`${twice} and ${twice}_FILE are both set in ${source}; set one of the two.`);
}

/**
 * `variables` with the path of a file in place of each secret.
 * @param {Record<string, string>} variables
 * @param {object} place
 * @param {string} place.root where relative paths are meant from
 * @param {string} place.dataDirectory
 * @param {boolean} place.isRemoving the command stops what runs
 * @param {readonly string[]} [place.secrets] of the applications, beside those of Holdfast
 * @throws with a sentence for people where a secret can't be kept
 */
function namedByFiles(variables, { root, dataDirectory, isRemoving, secrets = [] }) {
  const names = new Set([...SECRETS, ...secrets]);
  const fileNames = new Set([...names].map((name) => `${name}_FILE`));
  const entries = Object.entries(variables).map(([name, value]) => {
    if (fileNames.has(name)) return [name, path.resolve(root, value)];
    if (!names.has(name)) return [name, value];
    const isOfShell = Boolean(process.env[name]);
    const folder = path.join(dataDirectory, 'secrets', isOfShell ? 'environment' : 'dotenv');
    if (readFor() === 'cluster') return [name, value];
    // A command that only looks at what runs, or stops it, must not change what that was started with.
    const isStart = readFor() === 'start' && !(isOfShell && isRemoving);
    return [`${name}_FILE`, isStart ? keepSecret(folder, name, value) : path.join(folder, name)];
  });
  return Object.fromEntries(entries);
}

/**
 * What the ecosystem file is evaluated for. `start`: something is started by it under PM2, as always when PM2 itself evaluates
 * it. `look`: it is only to be known what it says. `cluster`: to run instances without PM2. Said by resolveApps.cjs.
 */
const readFor = () => globalThis[Symbol.for('holdfast.readFor')] ?? 'start';

/** Whether PM2 itself evaluates the file, to start something by it. */
const isReadByPm2 = () => globalThis[Symbol.for('holdfast.readFor')] === undefined;

module.exports = { isReadByPm2, namedByFiles, readFor, settingsAt };
