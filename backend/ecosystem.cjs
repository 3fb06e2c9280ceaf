/**
 * The public functions for ecosystem files (`holdfast/ecosystem`): the definitions that PM2 starts, and that the supervisor
 * reads to start one instance more. CommonJS and without dependencies, because any `pm2`, also a global one, loads it.
 * What these processes are given of the shell, and what becomes of secrets: deployment.cjs. Types: ecosystem.d.cts.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const {
  BASE,
  common,
  deploymentOf,
  hostOf,
  isRemoving,
  pick,
  refusing,
  requireBuild,
} = require('./deployment.cjs');
const { gatewayNodeOf, requireNode } = require('./gatewayNode.cjs');
const { packageFolder, projectFolder: root } = require('./installation.cjs');
const { isReadByPm2 } = require('./startedWith.cjs');

/** What `node --require` loads into every instance: the agent (backend/src/agent/). */
const PRELOAD = path.join(__dirname, 'preload.cjs');

/** Settings of Holdfast (backend/src/config/schema.ts); test/house/ecosystem.test.ts keeps the two in step. */
const SETTING = new RegExp(
  `^(HA_[A-Z0-9_]+|PM2_(HOME|BIN)|LOG_[A-Z_]+|BLACK_BOX_[A-Z_]+|AUTOSCALE|(CPU|MEMORY)_THRESHOLD_(HIGH|LOW)|(MAX|MIN)_INSTANCES|SCALE_[A-Z_]+|` +
    `HEALTH_[A-Z_]+|(UN)?HEALTHY_THRESHOLD|MAX_RESTART_ATTEMPTS|RESTART_[A-Z_]+|STABLE_PERIOD|START_TIMEOUT|HANG_TIMEOUT|DRAIN_GRACE|` +
    `KILL_TIMEOUT|CANARY_PERIOD|MEMORY_LIMIT|OBSERVE_INTERVAL|NOTIFY_[A-Z_]+|START_PORT|INSTANCE_COUNT|PORT_COUNT|DEFAULT_SERVICE|` +
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
function supervisorApp({ file, autoscale }, deployment) {
  const { settings, variables, agentSocket, logs, withoutSecrets } = deployment;
  return {
    name: 'ha-supervisor',
    script: path.join(packageFolder, 'backend/dist/supervisor.js'),
    cwd: root,
    exec_mode: 'fork',
    instances: 1,
    instance_var: 'HOLDFAST_INSTANCE',
    // A supervisor that needs a big heap is a bug, and small young generations keep its resident size down; in one smaller
    // than this, what agents say grows old (docs/decisions/0027).
    node_args: ['--max-semi-space-size=2', '--max-old-space-size=192'],
    // It leaves with 78 for what only a person can mend: restarting it would not help.
    stop_exit_codes: [78],
    ...common(logs('supervisor')),
    env: {
      ...withoutSecrets(pick(process.env, BASE, SETTING, variables.names)),
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
function gatewayApp({ file, routes }, { settings, logs, withoutSecrets }) {
  const stopTimeoutMs = Number(settings.GATEWAY_STOP_TIMEOUT) || 30_000;
  return {
    name: 'ha-gateway',
    script: path.join(packageFolder, 'backend/dist/gateway.js'),
    cwd: root,
    exec_mode: 'fork',
    instances: 1,
    instance_var: 'HOLDFAST_INSTANCE',
    ...interpreterOf(settings),
    node_args: ['--max-semi-space-size=1', '--max-old-space-size=192'],
    // 77: it handed its port over to its successor. 78: only a person can help.
    stop_exit_codes: [77, 78],
    ...common(logs('gateway')),
    // Its own grace for requests under way, and time to tell its listeners.
    kill_timeout: stopTimeoutMs + 5_000,
    env: {
      ...(routes ? { LB_DEFAULT_ROUTES: routes } : {}),
      ...withoutSecrets(pick(process.env, BASE, SETTING)),
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

/**
 * The supervisor alone, for the ecosystem file of your own applications:
 *
 *     module.exports = { apps: [defineSupervisor({ file: __filename }), { name: 'my-api', … }] };
 *
 * @param {object} deployment
 * @param {string} deployment.file path of that ecosystem file; the supervisor reads it again later
 * @param {boolean} [deployment.autoscale] whether it may change the number of instances by load; default true
 * @param {string} [deployment.logPrefix] first part of the names of PM2's log files; default `pm2`
 * @param {import('./deployment.cjs').Variables} [deployment.variables] what that file itself takes from the shell for its
 *   applications: the supervisor keeps these, because it evaluates the file again. Default: none
 */
function defineSupervisor({ file, autoscale = true, logPrefix, variables }) {
  const deployment = deploymentOf({ logPrefix, variables });
  requireBuild(['backend/dist/supervisor.js']);
  return supervisorApp({ file, autoscale }, deployment);
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
  const { agentSocket, killTimeoutMs } = deploymentOf();
  const { node_args, nodeArgs, interpreter_args, interpreterArgs, ...rest } = app;
  const own = node_args ?? nodeArgs ?? interpreter_args ?? interpreterArgs ?? [];
  const words = Array.isArray(own) ? own : own.split(/\s+/).filter((word) => word !== '');
  const isLeftToUs = app.kill_timeout === undefined && app.killTimeout === undefined;
  return {
    ...rest,
    ...(isLeftToUs ? { kill_timeout: killTimeoutMs } : {}),
    node_args: [...words, '--require', PRELOAD],
    env: { ...app.env, HOLDFAST_AGENT_SOCKET: agentSocket },
  };
}

/**
 * The gateway, beside `defineSupervisor`: all requests on one port (BALANCER_PORT), routed to the instances that serve.
 *
 * @param {object} deployment
 * @param {string} deployment.file path of that ecosystem file
 * @param {string} [deployment.routes] which service serves which host and path, as in LB_ROUTES, which is stronger;
 *   default: the first service of the file serves all
 * @param {string} [deployment.logPrefix] first part of the names of PM2's log files; default `pm2`
 */
function defineGateway({ file, routes, logPrefix }) {
  const deployment = deploymentOf({ logPrefix });
  requireBuild(['backend/dist/gateway.js']);
  return gatewayApp({ file, routes }, deployment);
}

module.exports = { defineGateway, defineSupervisor, SETTING, withAgent };
