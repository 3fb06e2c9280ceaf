/**
 * Variables that are set and that nothing uses: each is told with the reason, because a setting without effect looks
 * exactly like one that works.
 *
 * Three reasons there are: the variable is of use only together with another one; it belongs to another process, and was
 * set for this one alone; or this version does not know what to do with it. What stands in config.yml or .env is for every
 * process of the deployment, so the second reason is one for the environment of a process that was started by hand.
 */
import { isServiceName } from './gatewaySources.js';
import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import type { Config } from './load.js';
import { SERVICE_SETTINGS } from './schema.js';

/** A setting, or another name that Holdfast knows, and where it was set. */
export interface Mention {
  /** The setting's key; null: it is not a setting of Holdfast itself. */
  readonly key: string | null;
  readonly name: string;
  readonly source: string;
}

/** What asks: a process of its own, or the command that starts a deployment. */
export type Asker = 'gateway' | 'supervisor' | 'cluster' | 'up';

/** Of several nodes and of other stores; one that becomes a setting is no longer looked for here. */
const OF_LATER_VERSIONS =
  /^(NODE_(NAME|TYPE|ADDRESS|WEIGHT|HEARTBEAT)|SYNC_FREQUENCY|FLEET_NAME|REDIS_(PASSWORD|MASTER_NAME|CONN_POOL_SIZE)|SQL_DSN|LOG_SQL_DSN|CRYPTO_SECRET|BATCH_UPDATE_(ENABLED|INTERVAL)|FRONTEND_BASE_URL|LB_WRITE_(TO|AFFINITY)|LB_FALLBACK)$/;

/** Whether a variable that is no setting is known all the same. */
export function isKnownElsewhere(name: string): boolean {
  return OF_LATER_VERSIONS.test(name);
}

/** Settings that need another one, what they are without it, and whether they have it. */
const NEEDS: readonly (readonly [
  keys: readonly string[],
  why: string,
  isMet: (config: Config) => boolean,
])[] = [
  [
    ['backendPort'],
    'it is the port of the addresses that BACKEND_DNS finds, and that is not set',
    ({ gateway: { source } }) => source.kind === 'dns',
  ],
  [
    ['backendPort'],
    'the SRV records that BACKEND_DNS finds bring their own ports',
    ({ gateway: { source } }) => source.kind !== 'dns' || !isServiceName(source.name),
  ],
  [
    ['backendDnsInterval', 'backendDnsServers'],
    'it needs BACKEND_DNS, and that is not set',
    ({ gateway: { source } }) => source.kind === 'dns',
  ],
  [
    ['consulUrl', 'consulDatacenter', 'consulTag', 'consulToken'],
    'it needs CONSUL_SERVICE, and that is not set',
    ({ gateway: { source } }) => source.kind === 'consul',
  ],
  [
    ['tlsMinVersion', 'tlsHttp2'],
    'it needs TLS_PORT, and that is not set',
    ({ gateway: { tls } }) => tls !== null,
  ],
  [
    ['lbStickyKeys', 'lbStickyLifetime'],
    'it needs LB_STICKY_COOKIE, and that is not set',
    ({ values }) => values.get('lbStickyCookie') !== null,
  ],
  [
    ['lbHashOn'],
    'only LB_ALGORITHM=consistent-hash uses it',
    ({ gateway: { pool, source } }) => pool.algorithm === 'consistent-hash' || source.kind === 'file',
  ],
  [
    ['accessLogSample'],
    'it needs ACCESS_LOG, which is off',
    ({ gateway: { accessLog } }) => accessLog !== 'off',
  ],
  [
    ['healthPath', 'healthStatus', 'healthBody', 'healthHost', 'healthHeaders'],
    'only HEALTH_PROBE=http uses it',
    ({ serviceDefaults, services }) =>
      [serviceDefaults, ...services.values()].some(({ healthProbe }) => healthProbe === 'http'),
  ],
];

const isOfTheGateway = (key: string): boolean => Object.hasOwn(GATEWAY_SETTINGS, key);
const isOfServices = (key: string): boolean => Object.hasOwn(SERVICE_SETTINGS, key);

/** Of the supervisor alone, beside what it holds services to. */
const OF_THE_SUPERVISOR =
  /^(haAllowedHosts|haAgentSocket|haDefaultAutoscale|observeInterval|blackBoxMax(Entries|Size)|notifyWebhookUrl)$/;
/** How the gateway checks upstreams. */
const OF_CHECKS = /^(health[A-Z]\w*|unhealthyThreshold|healthyThreshold|startTimeout)$/;
/** What a group of instances in a terminal is held to, and where it looks for a gateway to tell of. */
const OF_THE_CLUSTER = /^(startTimeout|killTimeout|balancerHost|balancerPort|startPort|instanceCount)$/;

/** What a setting is for, where this process, started by hand, does not use it; null: it does. */
function ownerElsewhere({ key }: Mention, { values }: Config, asker: 'gateway' | 'cluster'): string | null {
  const signsCookies = values.get('lbStickyCookie') !== null && values.get('lbStickyKeys') === null;
  if (key === 'sessionSecret')
    return asker === 'cluster' || signsCookies ? null : 'the supervisor and the services';
  if (key === null) return null;
  if (asker === 'cluster') {
    if (OF_THE_CLUSTER.test(key)) return null;
    if (isOfTheGateway(key)) return 'the gateway';
    return isOfServices(key) || OF_THE_SUPERVISOR.test(key) ? 'the supervisor' : null;
  }
  if (OF_CHECKS.test(key)) return null;
  return isOfServices(key) || OF_THE_SUPERVISOR.test(key) ? 'the supervisor' : null;
}

const SELF: Readonly<Record<'gateway' | 'cluster', string>> = {
  gateway: 'a gateway that was started alone',
  cluster: 'npm run cluster, which runs instances alone',
};

/** A sentence for each reason, naming every variable that it holds for. */
export function unusedSettings(config: Config, asker: Asker, isUnderPm2: boolean): readonly string[] {
  const told = new Map<string, string[]>();
  const tell = ({ name, source }: Mention, reason: string): void => {
    const key = `${source}\n${reason}`;
    told.set(key, [...(told.get(key) ?? []), name]);
  };
  for (const mention of config.mentions) {
    const reason = whyUnused(mention, config, asker, isUnderPm2);
    if (reason !== null) tell(mention, reason);
  }
  return [...told].map(([key, names]) => {
    const [source = '', reason = ''] = key.split('\n');
    return `${source}: ${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} set and not used: ${reason}.`;
  });
}

function whyUnused(mention: Mention, config: Config, asker: Asker, isUnderPm2: boolean): string | null {
  const { key, name, source } = mention;
  // In a deployment it is the supervisor that tells of these, or the command that starts it.
  if (key === null && OF_LATER_VERSIONS.test(name))
    return asker === 'gateway' && isUnderPm2
      ? null
      : 'this version of Holdfast has no use for such a setting';
  if ((asker === 'gateway' || asker === 'cluster') && !isUnderPm2 && source === 'environment') {
    const owner = ownerElsewhere(mention, config, asker);
    if (owner !== null) return `meant for ${owner}, and this is ${SELF[asker]}`;
  }
  // Told by the process that would use them.
  if (key === null || asker === 'cluster' || (asker === 'supervisor' && isOfTheGateway(key))) return null;
  if (asker === 'gateway' && isUnderPm2 && !isOfTheGateway(key)) return null;
  const unmet = NEEDS.find(([keys, , isMet]) => keys.includes(key) && !isMet(config));
  return unmet === undefined ? null : unmet[1];
}
