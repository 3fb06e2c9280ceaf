/**
 * Every setting of the supervisor, once: kind, default, meaning (those of the gateway: gatewaySchema.ts). The loader,
 * the error messages, config.example.yml and the tables in the documentation follow from here.
 *
 * A setting's name in config.yml is its key (`cpuThresholdHigh`); in .env and in the environment it is the same in
 * capitals (`CPU_THRESHOLD_HIGH`). Durations are milliseconds.
 */
import type { ProbeSpec } from '../domain/policy.js';
import { DEFAULT_DOWN_WINDOW_MS, DEFAULT_UP_WINDOW_MS } from '../domain/scaling/scaling.js';
import { API_SETTINGS } from './apiSchema.js';
import type { ENVIRONMENT_SETTINGS } from './environmentSchema.js';
import { GATEWAY_GROUPS } from './gatewaySchema.js';
import {
  bytes,
  choice,
  count,
  countOrAuto,
  days,
  durationMs,
  httpUrl,
  matching,
  onOff,
  path,
  percent,
  port,
  statusRange,
  text,
} from './kinds.js';
import { headerFields, hostField } from './requestKinds.js';
import {
  AT_START,
  MOST_INSTANCES,
  optional,
  SECRET_AT_START,
  setting,
  type SettingGroup,
  type Registry,
  type Values,
} from './setting.js';

export { ENVIRONMENT_SETTINGS } from './environmentSchema.js';
export type { Registry, Setting } from './setting.js';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;
const MEBIBYTE = 1024 ** 2;
const GIBIBYTE = 1024 ** 3;

const PROBE_KINDS: readonly [ProbeSpec['kind'], ...ProbeSpec['kind'][]] = ['http', 'tcp'];

const urlPath = matching(/^\/\S*$/, 'a path that begins with / and has no spaces');

/** Of the supervisor as a whole. */
export const GLOBAL_SETTINGS = {
  ...API_SETTINGS,
  haEcosystemFile: setting(
    path(),
    'ecosystem.cluster.config.js',
    "PM2's ecosystem file that defines the supervised services. Unset, and there is no such file: ecosystem.config.js, or ecosystem.config.cjs.",
    AT_START,
  ),
  haEcosystemEnv: setting(
    matching(/^\w+$/, 'letters, digits and _'),
    'production',
    'Which `env_…` block of the ecosystem file applies, as in `pm2 start --env`.',
    AT_START,
  ),
  haDataDir: setting(
    path(),
    'data',
    "Directory for state and history. Set it in .env rather than config.yml, which the ecosystem file does not read: it puts the secrets that it keeps and the agents' socket there, and so does the sample with its database.",
    AT_START,
  ),
  haLogDir: setting(
    path(),
    'logs',
    "Directory for logs. Set it in .env rather than config.yml, which the ecosystem file does not read: it puts PM2's logs there.",
    AT_START,
  ),
  pm2Home: setting(path(), '~/.pm2', "PM2's own directory; names the daemon that is used.", AT_START),
  pm2Bin: optional(
    path(),
    'The pm2 command that starts a daemon when there is none. Unset: the one installed with Holdfast.',
    AT_START,
  ),
  defaultService: optional(
    text('the name of a service'),
    'Service that a scale call without serviceName means. Unset: the first one of the ecosystem file.',
  ),
  observeInterval: setting(
    durationMs(100, 60 * SECOND_MS),
    1_000,
    'How often PM2 and the processes are looked at and decisions are made.',
    AT_START,
  ),
  logLevel: setting(
    choice(['error', 'warn', 'info', 'debug']),
    'info',
    'The least severe level that is logged.',
    AT_START,
  ),
  logMaxSize: setting(
    bytes(64 * 1024, 10 * GIBIBYTE),
    10 * MEBIBYTE,
    'A log file is rotated before it grows beyond this; five rotated ones are kept.',
    AT_START,
  ),
  logMaxAge: setting(days(1, 3_650), 14, 'Rotated log files older than this are deleted.', AT_START),
  logGroupRead: setting(
    onOff(),
    false,
    'The group of haLogDir may read it and the log files in it, as a program that ships logs needs; black boxes never. Off: their owner alone.',
    AT_START,
  ),
  blackBoxMaxEntries: setting(
    count(1, 1_000),
    50,
    'Black boxes (what is kept of an instance that was replaced or died) that are kept, of all services together.',
    AT_START,
  ),
  blackBoxMaxSize: setting(
    bytes(16 * MEBIBYTE, 100 * GIBIBYTE),
    100 * MEBIBYTE,
    'Room that all black boxes together may take.',
    AT_START,
  ),
  notifyWebhookUrl: optional(
    httpUrl(),
    'Warnings, errors and recoveries are posted here as JSON.',
    SECRET_AT_START,
  ),
} as const satisfies Registry;

const SCALING = {
  autoscale: setting(onOff(), true, 'Scale with load. Off: decisions are computed and shown, never applied.'),
  minInstances: setting(count(1, MOST_INSTANCES), 1, 'Never fewer instances than this.'),
  maxInstances: setting(
    countOrAuto(1, MOST_INSTANCES),
    4,
    'Never more instances than this; auto is the number of cores that this machine or container may use. Where it is not set, as many as the ecosystem file starts, or ran when Holdfast first took care of the service, are allowed as well.',
  ),
  cpuThresholdHigh: setting(percent(), 80, 'Load above it, in % of one core per instance, adds instances.'),
  cpuThresholdLow: setting(percent(), 30, 'Load below it, in % of one core per instance, removes instances.'),
  memoryThresholdHigh: setting(
    percent(),
    80,
    'Memory above it, in % of memoryLimit, adds instances where the host has room.',
  ),
  memoryThresholdLow: setting(
    percent(),
    30,
    'Memory below it, in % of memoryLimit, never stands against removing instances.',
  ),
  memoryLimit: setting(
    bytes(16 * MEBIBYTE, 1024 * GIBIBYTE),
    512 * MEBIBYTE,
    "Memory of one instance that counts as 100 %. A service's max_memory_restart in the ecosystem file goes before the global value.",
  ),
  scaleCooldown: setting(durationMs(0, DAY_MS), 60_000, 'Time between two automatic moves of a service.'),
  scaleUpWindow: setting(
    durationMs(0, HOUR_MS),
    DEFAULT_UP_WINDOW_MS,
    'Load must be high for this long before instances are added.',
  ),
  scaleDownWindow: setting(
    durationMs(0, DAY_MS),
    DEFAULT_DOWN_WINDOW_MS,
    'Load must be low for this whole time before instances are removed.',
  ),
} as const satisfies Registry;

const HEALTH = {
  healthProbe: setting(
    choice(PROBE_KINDS),
    'http',
    'How an instance is asked on its own port. TCP does not see a hang.',
  ),
  healthPath: setting(urlPath, '/health', 'Path of the HTTP probe.'),
  healthStatus: setting(statusRange(), { min: 200, max: 399 }, 'HTTP statuses that count as healthy.'),
  healthBody: optional(text(), "Text that the HTTP probe's answer must contain."),
  healthHost: optional(
    hostField(),
    'Host that the HTTP probe asks for, where an application answers only hosts on a list. Unset: the address and port of the instance.',
  ),
  healthHeaders: optional(
    headerFields(),
    'Header fields that the HTTP probe sends, such as a token that the health path asks for.',
    { secret: true },
  ),
  healthCheckInterval: setting(
    durationMs(100, HOUR_MS),
    30_000,
    'Time between two probes of a settled instance.',
  ),
  healthCheckTimeout: setting(
    durationMs(10, 10 * 60 * SECOND_MS),
    5_000,
    'A probe without a full answer by then has failed.',
  ),
  healthCheckFastInterval: setting(
    durationMs(50, HOUR_MS),
    1_000,
    'Time between two probes after a first bad result, until the state is settled.',
  ),
  unhealthyThreshold: setting(count(1, 100), 3, 'Bad results in a row until an instance is unfit.'),
  healthyThreshold: setting(count(1, 100), 2, 'Good results in a row until an instance is fit.'),
  startTimeout: setting(
    durationMs(100, HOUR_MS),
    30_000,
    'A new instance that is not fit by then has failed.',
  ),
  hangTimeout: setting(
    durationMs(200, HOUR_MS),
    1_000,
    'An instance whose main thread is blocked for so long hangs and is replaced; its agent tells. Garbage collection and debuggers do not count.',
  ),
} as const satisfies Registry;

const RESTARTS = {
  maxRestartAttempts: setting(
    count(1, 1_000),
    3,
    'Failures of an instance, and of those that replace it, within restartWindow that are retried; the next one quarantines it.',
  ),
  restartWindow: setting(
    durationMs(SECOND_MS, 7 * DAY_MS),
    600_000,
    'Failures older than this are forgotten.',
  ),
  restartCooldown: setting(
    durationMs(0, DAY_MS),
    60_000,
    'Wait before the first trial of a quarantined service; doubles per failed trial.',
  ),
  restartBackoff: setting(
    durationMs(0, HOUR_MS),
    1_000,
    'Delay before a repeated replacement; doubles per attempt, with jitter.',
  ),
  stablePeriod: setting(
    durationMs(0, HOUR_MS),
    10_000,
    'A recovery counts after this long without a bad result.',
  ),
} as const satisfies Registry;

const LIFECYCLE = {
  drainGrace: setting(
    durationMs(0, HOUR_MS),
    1_000,
    'From "no longer serving" to the stop signal, so that proxies have learnt it.',
  ),
  killTimeout: setting(
    durationMs(100, HOUR_MS),
    10_000,
    'From SIGINT to SIGKILL. Set it in .env: what `pm2 start` starts knows .env and the environment alone, and is killed after what it was started with.',
  ),
  canaryPeriod: setting(
    durationMs(0, HOUR_MS),
    5_000,
    'How long the first instance of a deploy must stay fit before the rest follows.',
  ),
  portCount: setting(count(2, 10_000), 96, "Size of a service's port range, which begins at its PORT."),
} as const satisfies Registry;

/** Of one service: the global value holds for all, `services.<name>` in config.yml overrides it for one. */
export const SERVICE_SETTINGS = { ...SCALING, ...HEALTH, ...RESTARTS, ...LIFECYCLE };

/** Only under `services.<name>`. */
export const SERVICE_ONLY_SETTINGS = {
  startPort: optional(port(), 'First port of its range. Unset: its PORT in the ecosystem file.'),
} as const satisfies Registry;

/** All that may stand at the top level of config.yml, as documentation shows it. */
export const TOP_LEVEL_GROUPS: readonly SettingGroup[] = [
  { title: 'The supervisor', settings: GLOBAL_SETTINGS },
  { title: 'Every service: scaling', settings: SCALING },
  { title: 'Every service: health', settings: HEALTH },
  { title: 'Every service: restarts', settings: RESTARTS },
  { title: 'Every service: coming and going', settings: LIFECYCLE },
  ...GATEWAY_GROUPS,
];

export type GlobalValues = Values<typeof GLOBAL_SETTINGS>;
export type EnvironmentValues = Values<typeof ENVIRONMENT_SETTINGS>;
export type ServiceValues = Values<typeof SERVICE_SETTINGS>;
/** What `services.<name>` in config.yml may say. */
export type ServiceOverrides = Partial<ServiceValues & Values<typeof SERVICE_ONLY_SETTINGS>>;

/** `cpuThresholdHigh` → `CPU_THRESHOLD_HIGH`. */
export function environmentName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
