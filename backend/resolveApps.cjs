/**
 * What PM2 would start by an ecosystem file, resolved by PM2's own code.
 *
 *     node resolveApps.cjs '{"file": …, "envName": …, "pm2": …, "pm2Home": …, "base": …, "readFor": …}' [words that the file sees]
 *
 * A process of its own, for one answer (JSON on file descriptor 3): PM2 is AGPL and stays a separate program (decision 1),
 * nothing of an earlier evaluation is left over in a module cache, and a file that never ends holds up nothing.
 *
 * PM2's `pm2 start <file>` runs here up to the call that would start something. The call's argument is the answer.
 * Each application goes through it alone, so that one that PM2 refuses doesn't take the others with it.
 */
'use strict';

const childProcess = require('node:child_process');
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { fileURLToPath } = require('node:url');
const { stripVTControlCharacters } = require('node:util');
const { isModuleNamespaceObject } = require('node:util/types');

/** More files than this are not watched. The ecosystem file is then read anew every time. */
const MOST_INPUTS = 2_000;
/** A file that was written this short a time ago may be written again without that its time stamp changes. */
const FRESH_MS = 50;

const request = JSON.parse(process.argv[2]);
process.argv.splice(2, 1);

main().then(
  (answer) => fs.writeSync(3, JSON.stringify(answer)),
  (error) => fs.writeSync(3, JSON.stringify({ problem: textOf(error) })),
);

async function main() {
  const pm2 = {
    API: require(path.join(request.pm2, 'lib/API.js')),
    Common: require(path.join(request.pm2, 'lib/Common.js')),
  };
  pm2.Common.parseConfig('{}', 'none'); // loads its parsers, which are no inputs
  // For ecosystem.cjs, which keeps secrets for what is started, and not those of each shell that looks.
  globalThis[Symbol.for('holdfast.readFor')] = request.readFor;
  const inherited = { ...process.env };
  const inputs = trackInputs();
  const config = evaluate(pm2.Common);
  const answer = { ...inputs.end(), apps: [] };
  // What the file itself has set, with dotenv for example, reaches the applications. This process's own variables don't.
  const added = Object.entries(process.env).filter(([name, value]) => inherited[name] !== value);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, request.base, Object.fromEntries(added));
  // PM2 makes the folders of log files here. The start does that, not a look at the file.
  fs.mkdirSync = () => undefined;
  for (const app of appsOf(config)) {
    const resolved = await resolve(pm2, app, config.deploy);
    answer.apps.push({ ...resolved, ...shown(config.holdfast?.[resolved.name]) });
  }
  for (const page of config.static ?? []) answer.apps.push(await resolveStatic(pm2, page));
  return answer;
}

/** As PM2 reads it. A name that PM2 takes for a script's is read as JavaScript. */
function evaluate({ isConfigFile, parseConfig }) {
  const { file } = request;
  const kind = isConfigFile(file);
  const config = kind === null ? require(file) : parseConfig(fs.readFileSync(file), file);
  if (typeof config !== 'object' || config === null) throw new Error('it defines no applications');
  if (isModuleNamespaceObject(config) && config.apps === undefined && config.pm2 === undefined) {
    throw new Error(
      'as an ES module it must say `export const apps = […]`; PM2 does not read `export default`',
    );
  }
  return config;
}

function appsOf(config) {
  const apps = config.apps ?? config.pm2 ?? (config.static === undefined ? config : []);
  return Array.isArray(apps) ? apps : [apps];
}

/** One application: PM2's record of it, or why there is none; and what the file says of it, also when PM2 refuses it. */
async function resolve({ API, Common }, app, deploy) {
  if (typeof app !== 'object' || app === null || Array.isArray(app)) {
    return { ...written({}), problem: 'an application must be an object' };
  }
  const said = written(app);
  let record = null;
  try {
    record = await start(API, { apps: [Common.clone(app)], deploy });
    return { ...said, name: record.name, port: portOf(record.env.PORT), record };
  } catch (error) {
    return { ...said, problem: textOf(error) };
  }
}

async function resolveStatic({ API }, page) {
  const name = page.name ?? `static-page-server-${page.port}`;
  const said = { ...written({ name }), port: portOf(page.port) };
  try {
    return { ...said, record: await start(API, { apps: [], static: [page] }) };
  } catch (error) {
    return { ...said, problem: textOf(error) };
  }
}

/** PM2's own start of a definition, with a daemon that only takes down what it is told. */
function start(API, config) {
  const folder = path.dirname(request.file);
  // PM2 sets it for an application that has a `cwd`, and would leave it for the next one.
  process.env.PWD = folder;
  return new Promise((done, fail) => {
    const daemon = {
      executeRemote(method, argument, callback) {
        if (method === 'getMonitorData') return callback(null, []);
        delete argument.env.PM2_JSON_PROCESSING;
        return done(argument);
      },
      notifyGod() {},
    };
    const self = { cwd: folder, pm2_home: request.pm2Home, Client: daemon, gl_is_km_linked: false };
    const options = request.envName === null ? {} : { env: request.envName };
    API.prototype._startJson.call(self, config, options, 'restartProcessId', (errors) => {
      const first = Array.isArray(errors) ? errors[0] : errors;
      if (first) fail(first);
    });
  });
}

/**
 * What the file says of a service to the commands, beside PM2's own keys:
 * `holdfast: { 'my-api': { page: '/docs', label: 'Documentation', portVariable: 'MY_API_PORT' } }`.
 */
function shown(said) {
  const { page, label, portVariable } = said ?? {};
  const textOr = (value) => (typeof value === 'string' && value !== '' ? value : null);
  return { page: textOr(page), label: textOr(label), portVariable: textOr(portVariable) };
}

/** What the file says of an application, as far as it can be understood without PM2. */
function written(app) {
  const { name, script, exec, cmd, command, cwd, instances, port, env } = app;
  const specific = app[`env_${request.envName}`];
  const own = port ?? specific?.PORT ?? env?.PORT;
  const program = [script, exec, cmd, command].find((value) => typeof value === 'string') ?? null;
  return {
    name: typeof name === 'string' ? name : program === null ? null : path.parse(program).name,
    script: program,
    cwd: typeof cwd === 'string' ? cwd : null,
    instances: instances === 'max' ? 0 : Number.parseInt(instances ?? 1, 10) || 0,
    port: portOf(own),
    portFrom: portOf(own) === null ? null : port === undefined ? 'env.PORT' : 'port',
    outFile: textIn(app, 'out_file out output out_log outFile'),
    errorFile: textIn(app, 'error_file error err err_file err_log errorFile'),
    record: null,
    problem: null,
  };
}

function textIn(app, keys) {
  return (
    keys
      .split(' ')
      .map((key) => app[key])
      .find((value) => typeof value === 'string') ?? null
  );
}

function portOf(value) {
  const port = Number(value);
  return Number.isInteger(port) && port > 0 && port <= 65_535 ? port : null;
}

function textOf(error) {
  const text = error instanceof Error ? error.message : String(error);
  return stripVTControlCharacters(text)
    .replace(/^(\[PM2\])?(\[ERROR\])?\s*/, '')
    .trim();
}

/**
 * Notes every file that is looked at or read while the ecosystem file is evaluated, each with its state before that.
 * While none of them has changed, another evaluation would say the same, and is spared.
 */
function trackInputs() {
  const before = new Set(Object.keys(require.cache));
  const { statSync } = fs;
  const states = new Map();
  const startedAtMs = Date.now();
  /** Something was used whose changes can't be seen. */
  let blind = false;
  const note = (given) => {
    const file = given instanceof URL && given.protocol === 'file:' ? fileURLToPath(given) : given;
    if (typeof file !== 'string' || file === '') return;
    const place = path.resolve(file);
    if (states.has(place)) return;
    if (states.size >= MOST_INPUTS) blind = true;
    else states.set(place, stateOf(place, statSync));
  };
  const restore = [];
  const wrap = (owner, name, before) => {
    const original = owner[name];
    if (typeof original !== 'function') return;
    const wrapper = function (...words) {
      before(...words);
      return original.apply(this, words);
    };
    owner[name] = Object.assign(wrapper, original);
    restore.push(() => (owner[name] = original));
  };
  for (const name of Object.keys(fs)) if (name.endsWith('Sync')) wrap(fs, name, note);
  wrap(process, 'loadEnvFile', (file = '.env') => note(file));
  for (const name of ['spawnSync', 'execSync', 'execFileSync'])
    wrap(childProcess, name, () => (blind = true));
  const resolveFilename = Module._resolveFilename;
  Module._resolveFilename = function (...words) {
    try {
      return resolveFilename.apply(this, words);
    } catch (error) {
      blind = true; // it may be there next time
      throw error;
    }
  };
  restore.push(() => (Module._resolveFilename = resolveFilename));
  note(request.file);
  return {
    /** The states by path, and whether nothing else was used. */
    end() {
      for (const undo of restore) undo();
      for (const [file, { exports }] of Object.entries(require.cache)) {
        if (before.has(file)) continue;
        // What an ES module imports is not seen from here.
        if (isModuleNamespaceObject(exports)) blind = true;
        note(file);
      }
      const isFresh = [...states.values()].some(
        (state) => state !== null && state.changedAtMs > startedAtMs - FRESH_MS,
      );
      const seen = Object.fromEntries([...states].map(([file, state]) => [file, state && state.text]));
      return { inputs: seen, isComplete: !blind && !isFresh };
    },
  };
}

/** The same text for as long as the file is the same; null where there is none. `fileState` of ecosystem.ts says it again. */
function stateOf(file, statSync) {
  const status = statSync(file, { throwIfNoEntry: false });
  if (status === undefined) return null;
  const { dev, ino, size, mtimeMs, ctimeMs } = status;
  return { text: [dev, ino, size, mtimeMs, ctimeMs].join(':'), changedAtMs: Math.max(mtimeMs, ctimeMs) };
}
