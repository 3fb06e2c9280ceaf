/** The settings that only the environment and .env can have. How settings work: schema.ts. */
import { count, onOff, path, port } from './kinds.js';
import { AT_START, MOST_INSTANCES, optional, setting, type Registry } from './setting.js';

/** Only in the environment: they say where config.yml is, or are read where there is no config.yml. */
export const ENVIRONMENT_SETTINGS = {
  haRoot: optional(
    path(),
    'Project folder. Unset: the folder of the clone; for a package that npm installed, the working directory.',
    AT_START,
  ),
  haConfig: setting(path(), 'config.yml', 'The configuration file.', AT_START),
  haAgentSocket: optional(
    path(),
    'Unix socket on which agents reach the supervisor; read by the ecosystem files, too. Unset: `run/agents.sock` in haDataDir, or, where that would be longer than the path of a socket may be, in a private folder of random name among the temporary files (`run/socket-folder` says which).',
    AT_START,
  ),
  haDefaultAutoscale: setting(
    onOff(),
    true,
    'What autoscale is where nothing else sets it; the ecosystem files say so for their deployment.',
    AT_START,
  ),
  startPort: setting(
    port(),
    13_004,
    'First port of what `npm run cluster` starts: it goes before the port that the ecosystem file gives the service. The ecosystem files of the sample read it, too, for its backend.',
    AT_START,
  ),
  instanceCount: setting(
    count(1, MOST_INSTANCES),
    5,
    'How many instances `npm run cluster` starts, on ports from START_PORT. Where it is set, the ecosystem files of the sample start as many of its backend (unset: 2, or 1 in the standard deployment); from then on the supervisor keeps it within minInstances and maxInstances.',
    AT_START,
  ),
  gatewayNode: optional(
    path(),
    'The Node that the gateway runs on, primary and workers: the path of a program, Node 20.19 or newer; read by the ecosystem files and by `npm run balancer`. Unset: the one that PM2 finds, or that `npm run balancer` runs on.',
    AT_START,
  ),
} as const satisfies Registry;
