/**
 * load-balancer-config.json: a pool in one file, for people who keep their upstreams there.
 *
 *   { "algorithm": "least-connections",
 *     "healthCheck": { "healthPath": "/health", "interval": 30000, "timeout": 5000 },
 *     "servers": ["10.0.0.1:8080;weight=3", { "id": "b", "host": "10.0.0.2", "port": 8080, "weight": 1 }] }
 *
 * `servers` is needed, the rest overrides the settings: algorithm is lbAlgorithm, and the keys of healthCheck are the
 * settings of health (probe is healthProbe, interval is healthCheckInterval, …), with the same values allowed. Files of
 * this kind are written for many balancers; so the usual other names of a key are read, too (the tables below), and what
 * is not understood is a problem that says what would be.
 */
import { memberOf, parseMember, MOST_WEIGHT, type Member } from '../domain/upstreams/members.js';
import type { HealthPolicy } from '../domain/policy.js';
import { messageOf } from '../domain/errors.js';
import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { count, onOff, port, type Kind } from './kinds.js';
import { healthPolicy } from './policy.js';
import { meantKey, showValue } from './problems.js';
import { SERVICE_SETTINGS, type ServiceValues, type Setting } from './schema.js';
import { parseRelaxedJson, readFields, withUnits, type Fields, type Spellings } from './spellings.js';

export interface LoadBalancerFile {
  /** null: as the settings say. */
  readonly algorithm: string | null;
  readonly check: HealthPolicy;
}

export type LoadBalancerReading =
  | { readonly ok: true; readonly members: readonly Member[]; readonly document: LoadBalancerFile }
  /** One line per problem. */
  | { readonly ok: false; readonly problems: readonly string[] };

const TOP_LEVEL = {
  algorithm: ['strategy', 'method', 'lbAlgorithm', 'loadBalancingAlgorithm'],
  healthCheck: ['healthChecks', 'health'],
  servers: ['upstreams', 'backends', 'targets', 'members'],
  name: [],
  id: [],
} as const satisfies Spellings;

/** What may stand in healthCheck: the setting that each is, and other names for it. */
const HEALTH = {
  probe: { setting: 'healthProbe', names: ['type', 'protocol'] },
  path: { setting: 'healthPath', names: ['healthPath', 'checkPath', 'url', 'uri', 'endpoint'] },
  status: { setting: 'healthStatus', names: ['expectedStatus', 'statusCode', 'expectedStatusCode'] },
  body: { setting: 'healthBody', names: ['expectedBody'] },
  host: { setting: 'healthHost', names: ['hostHeader', 'hostname', 'healthHost'] },
  headers: { setting: 'healthHeaders', names: ['header', 'requestHeaders', 'healthHeaders'] },
  interval: { setting: 'healthCheckInterval', names: ['intervalMs', 'checkInterval', 'healthCheckInterval'] },
  timeout: { setting: 'healthCheckTimeout', names: ['timeoutMs', 'checkTimeout', 'healthCheckTimeout'] },
  fastInterval: { setting: 'healthCheckFastInterval', names: ['fastIntervalMs'] },
  unhealthyThreshold: {
    setting: 'unhealthyThreshold',
    names: ['fall', 'maxFails', 'failureThreshold', 'retries'],
  },
  healthyThreshold: { setting: 'healthyThreshold', names: ['rise', 'passes', 'successThreshold'] },
} as const satisfies Readonly<
  Record<string, { readonly setting: keyof ServiceValues; readonly names: readonly string[] }>
>;

const HEALTH_KEYS: Spellings = {
  ...Object.fromEntries(Object.entries(HEALTH).map(([key, { names }]) => [key, names])),
  enabled: [],
  method: [],
};
const DURATIONS: ReadonlySet<string> = new Set(['interval', 'timeout', 'fastInterval']);

/** `id` and `name` are for people: an upstream is known by its host and port. */
const SERVER_KEYS = {
  host: ['hostname', 'address', 'ip', 'server'],
  port: [],
  weight: [],
  url: ['uri', 'target', 'origin'],
  id: [],
  name: ['label'],
  enabled: ['active'],
  disabled: ['down'],
  protocol: ['scheme'],
} as const satisfies Spellings;

const MOST_SERVERS = 4_096;
const HOST = 'a host name or an IP address';
const SWITCH = onOff();

/** @param defaults what holds where the file says nothing. Never throws; all problems are found. */
export function readLoadBalancerFile(text: string, defaults: ServiceValues): LoadBalancerReading {
  let content: unknown;
  try {
    content = parseRelaxedJson(text);
  } catch (error) {
    return { ok: false, problems: [`not valid JSON: ${messageOf(error)}`] };
  }
  const reader = new Reader();
  const top = reader.object(content, '', TOP_LEVEL);
  if (top === null) return { ok: false, problems: reader.problems };
  const algorithm = reader.value(top, 'algorithm', '', GATEWAY_SETTINGS.lbAlgorithm.kind) as
    string | undefined;
  const values = reader.health(top, defaults);
  const members = reader.servers(top);
  if (reader.problems.length > 0) return { ok: false, problems: reader.problems };
  return { ok: true, members, document: { algorithm: algorithm ?? null, check: healthPolicy(values) } };
}

class Reader {
  readonly problems: string[] = [];

  /** What the object that `value` is says, or null; keys that are not known are problems. */
  object(value: unknown, name: string, keys: Spellings): Fields | null {
    const known = Object.keys(keys);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#refuse(name === '' ? 'the file' : name, value, `an object with ${known.join(', ')}`);
      return null;
    }
    return readFields(
      value,
      keys,
      (key) => {
        const meant = meantKey(key, known);
        const hint = meant === null ? `; known are ${known.join(', ')}` : `; did you mean ${meant}?`;
        this.problems.push(`${dotted(name, key)} is not known${hint}`);
      },
      (key, other) =>
        this.problems.push(`${dotted(name, key)} says the same as ${dotted(name, other)}; keep one`),
    );
  }

  /** undefined where it is not there, or wrong. */
  value(fields: Fields, field: string, name: string, kind: Kind<unknown>, isSecret = false): unknown {
    const found = fields.get(field);
    if (found === undefined) return undefined;
    const parsed = kind.schema.safeParse(found.value);
    if (parsed.success) return parsed.data;
    this.#refuse(dotted(name, found.key), found.value, kind.allowed, isSecret);
    return undefined;
  }

  health(top: Fields, defaults: ServiceValues): ServiceValues {
    const given = top.get('healthCheck');
    if (given === undefined) return defaults;
    const name = given.key;
    const fields = this.object(given.value, name, HEALTH_KEYS);
    if (fields === null) return defaults;
    this.#checkSwitches(fields, name);
    const found = Object.entries(HEALTH).flatMap(([key, { setting }]) => {
      const { kind, secret }: Setting<unknown> = SERVICE_SETTINGS[setting];
      const meant = DURATIONS.has(key) ? withUnits(kind as Kind<number>) : kind;
      const read = this.value(fields, key, name, meant, secret);
      return read === undefined ? [] : [[setting, read] as const];
    });
    const values: ServiceValues = { ...defaults, ...Object.fromEntries(found) };
    const { healthCheckInterval: interval, healthCheckTimeout: timeout } = values;
    const written = fields.get('timeout');
    // A file that asks for quick checks and says nothing of the time-out means one that fits.
    if (written === undefined) return { ...values, healthCheckTimeout: Math.min(timeout, interval) };
    if (timeout > interval) {
      this.#refuse(dotted(name, written.key), timeout, `at most ${dotted(name, 'interval')} (${interval})`);
    }
    return values;
  }

  /** What other balancers let people choose, and this one does not. */
  #checkSwitches(fields: Fields, name: string): void {
    const method = fields.get('method');
    if (method !== undefined && method.value !== 'GET')
      this.#refuse(dotted(name, method.key), method.value, '"GET", which is what checks use');
    if (this.value(fields, 'enabled', name, SWITCH) === false) {
      const allowed = 'true: upstreams are always checked; "probe": "tcp" asks for a connection only';
      this.#refuse(dotted(name, fields.get('enabled')?.key ?? ''), false, allowed);
    }
  }

  servers(top: Fields): readonly Member[] {
    const { key: list, value } = top.get('servers') ?? { key: 'servers', value: undefined };
    if (!Array.isArray(value) || value.length === 0 || value.length > MOST_SERVERS) {
      this.#refuse(list, value, `a list of 1 to ${MOST_SERVERS} servers`);
      return [];
    }
    const members = new Map<string, Member>();
    let disabled = 0;
    for (const [index, entry] of value.entries()) {
      const name = `${list}[${index}]`;
      const member = typeof entry === 'string' ? this.#text(entry, name) : this.#fields(entry, name);
      if (member === 'disabled') disabled += 1;
      if (member === null || member === 'disabled') continue;
      if (members.has(member.id)) this.problems.push(`${name}: ${member.id} is there twice`);
      members.set(member.id, member);
    }
    if (disabled === value.length) this.problems.push(`${list}: none of them is enabled`);
    return [...members.values()];
  }

  #text(entry: string, name: string): Member | null {
    const read = entry.includes('://') ? memberOfUrl(entry) : parseMember(entry);
    if (typeof read !== 'string') return read;
    this.problems.push(`${name}: ${read}`);
    return null;
  }

  #fields(entry: unknown, name: string): Member | 'disabled' | null {
    const fields = this.object(entry, name, SERVER_KEYS);
    if (fields === null) return null;
    const before = this.problems.length;
    const weight = this.value(fields, 'weight', name, count(1, MOST_WEIGHT)) as number | undefined;
    const isOff =
      this.value(fields, 'enabled', name, SWITCH) === false ||
      this.value(fields, 'disabled', name, SWITCH) === true;
    this.#checkProtocol(fields, name);
    const member = fields.has('url') ? this.#url(fields, name) : this.#hostAndPort(fields, name);
    if (member === null || this.problems.length > before) return null;
    return isOff ? 'disabled' : memberOf(member.host, member.port, weight ?? member.weight);
  }

  #checkProtocol(fields: Fields, name: string): void {
    const protocol = fields.get('protocol');
    if (protocol === undefined || /^http:?$/i.test(String(protocol.value))) return;
    this.#refuse(dotted(name, protocol.key), protocol.value, '"http", which is spoken with upstreams');
  }

  #url(fields: Fields, name: string): Member | null {
    const { key, value } = fields.get('url') ?? { key: '', value: '' };
    for (const other of ['host', 'port']) {
      const twice = fields.get(other);
      if (twice !== undefined)
        this.problems.push(`${dotted(name, twice.key)} stands in ${dotted(name, key)}; keep one`);
    }
    const read = typeof value === 'string' ? memberOfUrl(value) : null;
    if (read !== null && typeof read !== 'string') return read;
    this.#refuse(dotted(name, key), value, URL_ALLOWED);
    return null;
  }

  #hostAndPort(fields: Fields, name: string): Member | null {
    const { key, value: host } = fields.get('host') ?? { key: 'host', value: undefined };
    const number = this.value(fields, 'port', name, port()) as number | undefined;
    if (typeof host === 'string' && !fields.has('port')) {
      // Whole addresses stand in fields of this name, too.
      const whole = parseMember(host);
      if (typeof whole !== 'string') return whole;
    }
    if (!fields.has('port')) this.#refuse(dotted(name, 'port'), undefined, port().allowed);
    if (typeof host !== 'string') {
      this.#refuse(dotted(name, key), host, HOST);
      return null;
    }
    // With any port that is right, the host is what can still be wrong.
    const checked = parseMember(memberOf(host.replace(/^\[(.*)\]$/, '$1'), 1).id);
    if (typeof checked === 'string') this.#refuse(dotted(name, key), host, HOST);
    return typeof checked === 'string' || number === undefined ? null : memberOf(checked.host, number);
  }

  #refuse(name: string, value: unknown, allowed: string, isSecret = false): void {
    const shown = value === undefined ? 'is missing' : `= ${showValue(value, isSecret)}`;
    this.problems.push(`${name} ${shown}, expected ${allowed}`);
  }
}

const URL_ALLOWED =
  'http://host:port without a path: plain HTTP is spoken with upstreams, and paths stay as they are';

/** Where an http URL that is only an origin points, or a sentence that says what is wrong with it. */
function memberOfUrl(text: string): Member | string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isOrigin =
    url?.protocol === 'http:' && url.pathname === '/' && url.search + url.hash + url.username === '';
  if (url === null || !isOrigin) return `${showValue(text, false)} is not ${URL_ALLOWED}`;
  return parseMember(`${url.hostname}:${url.port === '' ? 80 : url.port}`);
}

const dotted = (name: string, key: string): string => (name === '' ? key : `${name}.${key}`);
