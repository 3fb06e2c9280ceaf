/**
 * What both ecosystem files of the repository have in common: the sample services, with a supervisor and a gateway beside
 * them. Everything that is the sample's own stands here and below examples/wordpecker; backend/ knows nothing of it.
 */
'use strict';

const path = require('node:path');

const {
  BASE,
  common,
  deploymentOf,
  hostOf,
  pick,
  refuse,
  refusing,
  requireBuild,
} = require('../../backend/deployment.cjs');
const { defineGateway, defineSupervisor, withAgent } = require('../../backend/ecosystem.cjs');
const { keptSecret } = require('../../backend/sessionSecret.cjs');
const { readFor } = require('../../backend/startedWith.cjs');

const repository = path.resolve(__dirname, '../..');

/** What the sample services understand. */
const OF_SERVICES =
  /^((SESSION_SECRET|JWT_SECRET|REDIS_CONN_STRING)(_FILE)?|WSSend(QPS|Burst)|MYSQL_[A-Z_]+|ENABLE_FAULTS|FAULT_[A-Z_]+|BACKEND_URL|FRONTEND_PATH|WORDPECKER_DB|SHUTDOWN_TIMEOUT_MS)$/;

/** With what this file reads itself. */
const VARIABLES = {
  names: new RegExp(`${OF_SERVICES.source}|^FRONTEND_START_PORT$`),
  secrets: ['JWT_SECRET', 'MYSQL_PASSWORD', 'REDIS_CONN_STRING'],
};

/** Its pages and what they load come from the frontend, everything else from the backend; LB_ROUTES goes before it. */
const ROUTES =
  '/=wordpecker-backend,/app=wordpecker-frontend,/ui=wordpecker-frontend,/assets=wordpecker-frontend';

/** What the commands say of the services: what to open, and the variable that chooses the first port. */
const HOLDFAST = {
  'wordpecker-backend': { page: '/api/status', label: 'Backend API', portVariable: 'START_PORT' },
  'wordpecker-frontend': { page: '/ui', label: 'Word lists', portVariable: 'FRONTEND_START_PORT' },
};

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

/** Where the services find the secret that they sign sessions with, where none is configured: the one that is kept. */
function sessionSecretFile({ settings, dataDirectory }) {
  if (settings.SESSION_SECRET || settings.SESSION_SECRET_FILE) return {};
  const file = path.join(dataDirectory, 'session-secret');
  if (readFor() !== 'look') refusing(() => keptSecret(file));
  return { SESSION_SECRET_FILE: file };
}

/** Every instance has a port of its own, counted up from `port`. */
function serviceApp({ name, script, instances, port, env }, { logs, killTimeoutMs }) {
  return withAgent({
    name,
    script: `examples/wordpecker/dist/${script}.js`,
    cwd: repository,
    exec_mode: 'cluster',
    instances,
    instance_var: 'HOLDFAST_INSTANCE',
    increment_var: 'PORT',
    ...common(logs(script)),
    kill_timeout: killTimeoutMs,
    // Not env.PORT: PM2 applies `port` when it creates instances only. With PORT in env, `pm2 start` or `pm2 reload`
    // of this file on running instances would give all of them the first one's port.
    port,
    env: { ...pick(process.env, BASE), ...env, NODE_ENV: 'development' },
    env_production: { NODE_ENV: 'production' },
  });
}

/**
 * What an ecosystem file of the sample exports.
 * @param {object} sample
 * @param {string} sample.file path of the ecosystem file itself; the supervisor reads it again later
 * @param {boolean} sample.autoscale whether the supervisor may change the number of instances by load
 * @param {number} sample.backends instances of the backend at first start; INSTANCE_COUNT goes before it
 * @param {number} sample.frontends instances of the frontend at first start
 * @param {string} sample.logPrefix first part of the names of PM2's log files
 */
function defineSample({ file, autoscale, backends, frontends, logPrefix }) {
  const deployment = deploymentOf({ logPrefix, variables: VARIABLES });
  const { settings, dataDirectory, withoutSecrets } = deployment;
  const backendPort = portOf(settings, 'START_PORT', 13004);
  const frontendPort = portOf(settings, 'FRONTEND_START_PORT', 13100);
  requireBuild([
    'backend/dist/supervisor.js',
    'backend/dist/gateway.js',
    'examples/wordpecker/dist/backend.js',
    'examples/wordpecker/dist/frontend.js',
  ]);
  const own = {
    WORDPECKER_DB: path.join(dataDirectory, 'wordpecker.db'),
    ...withoutSecrets(pick(settings, OF_SERVICES)),
    ...sessionSecretFile(deployment),
    ...hostOf(settings),
  };
  const backend = {
    name: 'wordpecker-backend',
    script: 'backend',
    instances: instanceCountOf(settings, backends),
    port: backendPort,
    // Its first page links to the frontend, where ROUTES leads to it.
    env: { FRONTEND_PATH: '/app', ...own },
  };
  const frontend = {
    name: 'wordpecker-frontend',
    script: 'frontend',
    instances: frontends,
    port: frontendPort,
    env: { BACKEND_URL: `http://127.0.0.1:${backendPort}`, ...own },
  };
  return {
    apps: [
      defineSupervisor({ file, autoscale, logPrefix, variables: VARIABLES }),
      serviceApp(backend, deployment),
      serviceApp(frontend, deployment),
      defineGateway({ file, routes: ROUTES, logPrefix }),
    ],
    holdfast: HOLDFAST,
  };
}

module.exports = { defineSample };
