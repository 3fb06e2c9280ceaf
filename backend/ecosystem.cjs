/**
 * What both ecosystem files have in common: the definitions that PM2 starts, and that the supervisor reads to start
 * one instance more. CommonJS and without dependencies, because any `pm2`, also a global one, loads it.
 *
 * Environments are explicit. PM2 would hand the whole shell of whoever typed `pm2 start` to every process and keep
 * it in its dump; here an instance gets a minimal base, its own variables and nothing else, and the supervisor in
 * addition the settings of Holdfast that were set in that shell. What stands in `.env` or `config.yml` is not
 * handed on: the supervisor reads these itself, so that they can still be edited.
 *
 * No secret is handed to PM2: it shows what it is given in its list and writes it to its dump. One that was set in the
 * shell, or that a sample service needs, is kept in a private file, and PM2 gets that path (`HA_API_TOKEN_FILE`).
 */
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { gatewayNodeOf, requireNode } = require('./gatewayNode.cjs');
const { keptSecret } = require('./sessionSecret.cjs');
const { makeSocketFolder } = require('./socketFolder.cjs');
const { isReadByPm2, namedByFiles, readFor, settingsAt } = require('./startedWith.cjs');

const root = path.dirname(__dirname);

/** What `node --require` loads into every instance: the agent (backend/src/agent/). */
const PRELOAD = path.join(__dirname, 'preload.cjs');

/** What any process needs to find its way on the machine. */
const BASE = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|NODE_EXTRA_CA_CERTS|NVM_DIR)$/;

/** What the sample services understand. */
const SAMPLE =
  /^((SESSION_SECRET|JWT_SECRET|REDIS_CONN_STRING)(_FILE)?|WSSend(QPS|Burst)|MYSQL_[A-Z_]+|ENABLE_FAULTS|FAULT_[A-Z_]+|BACKEND_URL|FRONTEND_PATH|WORDPECKER_DB|SHUTDOWN_TIMEOUT_MS)$/;

/** Its pages and what they load come from the frontend, everything else from the backend; LB_ROUTES goes before it. */
const SAMPLE_ROUTES =
  '/=wordpecker-backend,/app=wordpecker-frontend,/ui=wordpecker-frontend,/assets=wordpecker-frontend';

/** Settings of Holdfast (backend/src/config/schema.ts); test/house/ecosystem.test.ts keeps the two in step. */
const SETTING = new RegExp(
  `^(HA_[A-Z0-9_]+|PM2_(HOME|BIN)|LOG_[A-Z_]+|BLACK_BOX_[A-Z_]+|AUTOSCALE|(CPU|MEMORY)_THRESHOLD_(HIGH|LOW)|(MAX|MIN)_INSTANCES|SCALE_[A-Z_]+|` +
    `HEALTH_[A-Z_]+|(UN)?HEALTHY_THRESHOLD|MAX_RESTART_ATTEMPTS|RESTART_[A-Z_]+|STABLE_PERIOD|START_TIMEOUT|HANG_TIMEOUT|DRAIN_GRACE|` +
    `KILL_TIMEOUT|CANARY_PERIOD|MEMORY_LIMIT|OBSERVE_INTERVAL|NOTIFY_[A-Z_]+|START_PORT|INSTANCE_COUNT|FRONTEND_START_PORT|PORT_COUNT|DEFAULT_SERVICE|` +
    `BALANCER_[A-Z]+|GATEWAY_[A-Z_]+|TRUSTED_PROXIES|PROXY_PROTOCOL_FROM|TLS_[A-Z0-9_]+|ACCESS_LOG(_[A-Z]+)?|BACKEND_(HOSTS|START_PORT|COUNT|DNS(_[A-Z]+)?|PORT)|` +
    `CONSUL_[A-Z_]+|SESSION_SECRET(_FILE)?|LB_[A-Z0-9_]+)$`,
);

/** What the supervisor only says that it has no use for (backend/src/config/unused.ts). */
const OF_LATER_VERSIONS =
  /^(NODE_(NAME|TYPE|ADDRESS|WEIGHT|HEARTBEAT)|SYNC_FREQUENCY|FLEET_NAME|REDIS_(PASSWORD|MASTER_NAME|CONN_POOL_SIZE)|SQL_DSN|CRYPTO_SECRET|BATCH_UPDATE_(ENABLED|INTERVAL)|FRONTEND_BASE_URL)$/;

/**
 * Of the process's threads that wait for disks (libuv; 4 by default). Each file that is written on a disk that hangs keeps one
 * until that goes on, and the others are needed for /proc and names.
 */
const DISK_THREADS = { UV_THREADPOOL_SIZE: '16' };

/** Settings that these files themselves need. */
const readSettings = () => refusing(() => settingsAt(root));

/** What PM2 is given of `variables`: for each secret the path of a file that holds it. */
function withoutSecrets(variables, dataDirectory) {
  return refusing(() => namedByFiles(variables, { root, dataDirectory, isRemoving: isRemoving() }));
}

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

function portOf(settings, name, fallback) {
  const text = settings[name] || String(fallback);
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65535) return port;
  throw refuse(`${name} is "${text}"; it must be a port, 1 to 65535.`);
}

/** INSTANCE_COUNT (backend/src/config/environmentSchema.ts); where it is unset, `fallback`. */
function instanceCountOf({ INSTANCE_COUNT: text }, fallback) {
  if (!text) return fallback;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 512) return count;
  throw refuse(`INSTANCE_COUNT is "${text}"; it must be a whole number, 1 to 512.`);
}

/** Starting something that was never built fails in ways nobody can read; removing it must still work. */
function requireBuild(scripts) {
  const missing = scripts.filter((script) => !fs.existsSync(path.join(root, script)));
  if (missing.length === 0 || isRemoving()) return;
  throw refuse(
    `Holdfast is not built yet: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.\n` +
      `Run this first, then start it again:\n\n    cd ${root} && npm ci && npm run build`,
  );
}

/** Where the samples find the secret that they sign sessions with, where none is configured: the one that is kept. */
function sessionSecretFile(settings, dataDirectory) {
  if (settings.SESSION_SECRET || settings.SESSION_SECRET_FILE) return {};
  const file = path.join(dataDirectory, 'session-secret');
  if (readFor() !== 'look') refusing(() => keptSecret(file));
  return { SESSION_SECRET_FILE: file };
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

/** `app` with the agent preloaded: its Node options and variables stay. */
function withAgentAt(socket, app) {
  const { node_args, nodeArgs, interpreter_args, interpreterArgs, ...rest } = app;
  const own = node_args ?? nodeArgs ?? interpreter_args ?? interpreterArgs ?? [];
  const words = Array.isArray(own) ? own : own.split(/\s+/).filter((word) => word !== '');
  return {
    ...rest,
    node_args: [...words, '--require', PRELOAD],
    env: { ...app.env, HOLDFAST_AGENT_SOCKET: socket },
  };
}

/**
 * What `--env` selects for supervisor and gateway, which start instances by the same blocks of the ecosystem file: the
 * standard one, and the one that HA_ECOSYSTEM_ENV names. They themselves are for production in each.
 */
function environments({ HA_ECOSYSTEM_ENV: other }) {
  const names = ['production', ...(other && other !== 'development' ? [other] : [])];
  return Object.fromEntries(
    names.map((name) => [`env_${name}`, { HA_ECOSYSTEM_ENV: name, NODE_ENV: 'production' }]),
  );
}

/**
 * The path by which the user named an ecosystem file. `__filename` is what a link on the way to it led to when it was
 * loaded: with releases in folders of their own, the one that was current then. HA_ECOSYSTEM_FILE of the environment goes
 * before it, also where it is another file; else a path that leads to the same file is looked for: in `.env`, and among
 * the words that `pm2 start` was given, counted from the shell's folder.
 */
function asGiven(file, settings) {
  if (process.env.HA_ECOSYSTEM_FILE) return path.resolve(root, process.env.HA_ECOSYSTEM_FILE);
  const words = process.argv.slice(2).map((word) => path.resolve(shellFolder(), word));
  const named = settings.HA_ECOSYSTEM_FILE ? [path.resolve(root, settings.HA_ECOSYSTEM_FILE)] : [];
  return [...named, ...words].find((name) => realPath(name) === realPath(file)) ?? file;
}

/** The working folder as the shell has it, with links that the process itself does not see any more. */
function shellFolder() {
  const { PWD } = process.env;
  return PWD && realPath(PWD) === process.cwd() ? PWD : process.cwd();
}

function realPath(name) {
  try {
    return fs.realpathSync(name);
  } catch {
    return name;
  }
}

/** The supervisor: exactly one, in fork mode, silent on stdout, so that it outlives PM2's daemon. */
function supervisorApp({ file, autoscale, settings, dataDirectory, agentSocket }, logs) {
  return {
    name: 'ha-supervisor',
    script: 'backend/dist/supervisor.js',
    cwd: root,
    exec_mode: 'fork',
    instances: 1,
    instance_var: 'HOLDFAST_INSTANCE',
    // A supervisor that needs a big heap is a bug, and small young generations keep its resident size down; in one smaller
    // than this, what agents say grows old (docs/decisions/0027).
    node_args: ['--max-semi-space-size=2', '--max-old-space-size=192'],
    // It leaves with 78 for what only a person can mend: restarting it would not help.
    stop_exit_codes: [78],
    ...common(logs),
    env: {
      ...withoutSecrets(pick(process.env, BASE, SAMPLE, SETTING), dataDirectory),
      // That they are set, and not to what: some are secrets.
      ...Object.fromEntries(Object.keys(pick(process.env, OF_LATER_VERSIONS)).map((name) => [name, 'set'])),
      ...hostOf(process.env),
      ...DISK_THREADS,
      HA_ROOT: root,
      HA_ECOSYSTEM_FILE: asGiven(file, settings),
      HA_ECOSYSTEM_ENV: 'development',
      HA_AGENT_SOCKET: agentSocket,
      // A default: AUTOSCALE, and autoscale in config.yml, go before it.
      ...(autoscale ? {} : { HA_DEFAULT_AUTOSCALE: 'false' }),
      NODE_ENV: 'development',
    },
    ...environments(settings),
  };
}

/** The gateway: one process under PM2, in fork mode and silent on stdout for the same reason; it has its own workers. */
function gatewayApp({ file, settings, dataDirectory, routes }, logs) {
  const stopTimeoutMs = Number(settings.GATEWAY_STOP_TIMEOUT) || 30_000;
  return {
    name: 'ha-gateway',
    script: 'backend/dist/gateway.js',
    cwd: root,
    exec_mode: 'fork',
    instances: 1,
    instance_var: 'HOLDFAST_INSTANCE',
    ...interpreterOf(settings),
    node_args: ['--max-semi-space-size=1', '--max-old-space-size=192'],
    // 77: it handed its port over to its successor. 78: only a person can help.
    stop_exit_codes: [77, 78],
    ...common(logs),
    // Its own grace for requests under way, and time to tell everybody.
    kill_timeout: stopTimeoutMs + 5_000,
    env: {
      ...(routes ? { LB_DEFAULT_ROUTES: routes } : {}),
      ...withoutSecrets(pick(process.env, BASE, SETTING), dataDirectory),
      ...DISK_THREADS,
      HA_ROOT: root,
      HA_ECOSYSTEM_FILE: asGiven(file, settings),
      HA_ECOSYSTEM_ENV: 'development',
      NODE_ENV: 'development',
    },
    ...environments(settings),
  };
}

/**
 * Under GATEWAY_NODE, that Node; its workers are forked by it and run on it, too. It is tried where PM2 is about to start
 * something, and not where the supervisor reads its services: they don't depend on it.
 */
function interpreterOf(settings) {
  const interpreter = gatewayNodeOf(settings);
  if (interpreter === null) return {};
  if (isReadByPm2() && !isRemoving()) refusing(() => requireNode(interpreter));
  return { interpreter };
}

/** A sample service: every instance has a port of its own, counted up from `port`. */
function serviceApp({ name, script, instances, port, env, agentSocket, killTimeoutMs }, logs) {
  return withAgentAt(agentSocket, {
    name,
    script,
    cwd: root,
    exec_mode: 'cluster',
    instances,
    instance_var: 'HOLDFAST_INSTANCE',
    increment_var: 'PORT',
    ...common(logs),
    kill_timeout: killTimeoutMs,
    // Not env.PORT: PM2 applies `port` when it creates instances only. With PORT in env, `pm2 start` or `pm2 reload`
    // of this file on running instances would give all of them the first one's port.
    port,
    env: { ...pick(process.env, BASE), ...env, NODE_ENV: 'development' },
    env_production: { NODE_ENV: 'production' },
  });
}

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

/** Settings, directories and log files that the applications of one deployment share. */
function deploymentOf(logPrefix) {
  const settings = readSettings();
  const logDirectory = path.resolve(root, settings.HA_LOG_DIR || 'logs');
  const dataDirectory = path.resolve(root, settings.HA_DATA_DIR || 'data');
  const logs = (name) => ({
    out: path.join(logDirectory, `${logPrefix}-${name}-out.log`),
    error: path.join(logDirectory, `${logPrefix}-${name}-error.log`),
  });
  return {
    settings,
    dataDirectory,
    agentSocket: agentSocketOf(settings, dataDirectory),
    // The same for who stops an instance by hand (`pm2 stop`) and for the supervisor, which also reads config.yml and
    // says if a value makes no sense.
    killTimeoutMs: Number(settings.KILL_TIMEOUT) || 10_000,
    logs,
  };
}

/**
 * The supervisor alone, for the ecosystem file of your own applications:
 *
 *     module.exports = { apps: [defineSupervisor({ file: __filename }), { name: 'my-api', … }] };
 *
 * @param {object} deployment
 * @param {string} deployment.file path of that ecosystem file; the supervisor reads it again later
 * @param {boolean} [deployment.autoscale] whether it may change the number of instances by load; default true
 */
function defineSupervisor({ file, autoscale = true }) {
  const { settings, dataDirectory, agentSocket, logs } = deploymentOf('pm2');
  requireBuild(['backend/dist/supervisor.js']);
  return supervisorApp({ file, autoscale, settings, dataDirectory, agentSocket }, logs('supervisor'));
}

/**
 * An application of your own with the agent in it, which tells the supervisor of hangs, load and memory from inside:
 *
 *     module.exports = { apps: [defineSupervisor({ file: __filename }), withAgent({ name: 'my-api', … })] };
 *
 * It also lets requests finish when the instance is stopped and the application has no handler for that; so it gets
 * KILL_TIMEOUT for it (10 s), and not PM2's 1.6 s, unless it says otherwise.
 *
 * @param {object} app as PM2 takes it; must be run by node
 */
function withAgent(app) {
  const { agentSocket, killTimeoutMs } = deploymentOf('pm2');
  const isLeftToUs = app.kill_timeout === undefined && app.killTimeout === undefined;
  return withAgentAt(agentSocket, isLeftToUs ? { ...app, kill_timeout: killTimeoutMs } : app);
}

/**
 * The gateway, beside `defineSupervisor`: all requests on one port (BALANCER_PORT), routed to whoever serves.
 *
 * @param {object} deployment
 * @param {string} deployment.file path of that ecosystem file
 * @param {string} [deployment.routes] which service serves which host and path, as in LB_ROUTES, which is stronger;
 *   default: the first service of the file serves all
 */
function defineGateway({ file, routes }) {
  const { settings, dataDirectory, logs } = deploymentOf('pm2');
  requireBuild(['backend/dist/gateway.js']);
  return gatewayApp({ file, settings, dataDirectory, routes }, logs('gateway'));
}

/**
 * The applications of one deployment of the sample services.
 * @param {object} deployment
 * @param {string} deployment.file path of the ecosystem file itself; the supervisor reads it again later
 * @param {boolean} deployment.autoscale whether the supervisor may change the number of instances by load
 * @param {number} deployment.backends instances of wordpecker-backend at first start; INSTANCE_COUNT goes before it
 * @param {number} deployment.frontends instances of wordpecker-frontend at first start
 * @param {string} deployment.logPrefix first part of the names of PM2's log files
 */
function defineApps({ file, autoscale, backends, frontends, logPrefix }) {
  const { settings, dataDirectory, agentSocket, killTimeoutMs, logs } = deploymentOf(logPrefix);
  const backendPort = portOf(settings, 'START_PORT', 13004);
  const frontendPort = portOf(settings, 'FRONTEND_START_PORT', 13100);
  requireBuild([
    'backend/dist/supervisor.js',
    'backend/dist/gateway.js',
    'examples/wordpecker/dist/backend.js',
    'examples/wordpecker/dist/frontend.js',
  ]);
  const sampleEnv = {
    WORDPECKER_DB: path.join(dataDirectory, 'wordpecker.db'),
    ...withoutSecrets(pick(settings, SAMPLE), dataDirectory),
    ...sessionSecretFile(settings, dataDirectory),
    ...hostOf(settings),
  };
  return [
    supervisorApp({ file, autoscale, settings, dataDirectory, agentSocket }, logs('supervisor')),
    serviceApp(
      {
        name: 'wordpecker-backend',
        script: 'examples/wordpecker/dist/backend.js',
        instances: instanceCountOf(settings, backends),
        port: backendPort,
        // Its first page links to the frontend, where SAMPLE_ROUTES leads to it.
        env: { FRONTEND_PATH: '/app', ...sampleEnv },
        agentSocket,
        killTimeoutMs,
      },
      logs('backend'),
    ),
    serviceApp(
      {
        name: 'wordpecker-frontend',
        script: 'examples/wordpecker/dist/frontend.js',
        instances: frontends,
        port: frontendPort,
        env: { BACKEND_URL: `http://127.0.0.1:${backendPort}`, ...sampleEnv },
        agentSocket,
        killTimeoutMs,
      },
      logs('frontend'),
    ),
    gatewayApp({ file, settings, dataDirectory, routes: SAMPLE_ROUTES }, logs('gateway')),
  ];
}

module.exports = { defineApps, defineGateway, defineSupervisor, SETTING, withAgent };
