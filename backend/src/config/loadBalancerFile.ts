/**
 * load-balancer-config.json: a pool in one file, for whoever keeps its upstreams there.
 *
 *   { "algorithm": "least-connections",
 *     "healthCheck": { "path": "/health", "interval": 30000, "timeout": 5000 },
 *     "servers": ["10.0.0.1:8080;weight=3", { "host": "10.0.0.2", "port": 8080, "weight": 1 }] }
 *
 * `servers` is needed, the rest overrides the settings: algorithm is lbAlgorithm, and the keys of healthCheck are the
 * settings of health (probe is healthProbe, interval is healthCheckInterval, …), with the same values allowed.
 */
import { memberOf, parseMember, MOST_WEIGHT, type Member } from '../domain/members.js';
import type { HealthPolicy } from '../domain/policy.js';
import { messageOf } from '../domain/errors.js';
import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { count, port, type Kind } from './kinds.js';
import { healthPolicy } from './policy.js';
import { meantKey, showValue } from './problems.js';
import { SERVICE_SETTINGS, type ServiceValues } from './schema.js';

export interface LoadBalancerFile {
  /** null: as the settings say. */
  readonly algorithm: string | null;
  readonly check: HealthPolicy;
}

export type LoadBalancerReading =
  | { readonly ok: true; readonly members: readonly Member[]; readonly document: LoadBalancerFile }
  /** One line per problem. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** Keys of healthCheck and the settings that they are. */
const HEALTH_KEYS = {
  probe: 'healthProbe',
  path: 'healthPath',
  status: 'healthStatus',
  body: 'healthBody',
  interval: 'healthCheckInterval',
  timeout: 'healthCheckTimeout',
  fastInterval: 'healthCheckFastInterval',
  unhealthyThreshold: 'unhealthyThreshold',
  healthyThreshold: 'healthyThreshold',
} as const satisfies Readonly<Record<string, keyof ServiceValues>>;

const TOP_LEVEL = ['algorithm', 'healthCheck', 'servers'] as const;
const SERVER_KEYS = ['host', 'port', 'weight'] as const;
const MOST_SERVERS = 4_096;

/** @param defaults what holds where the file says nothing. Never throws; all problems are found. */
export function readLoadBalancerFile(text: string, defaults: ServiceValues): LoadBalancerReading {
  let content: unknown;
  try {
    content = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    return { ok: false, problems: [`not valid JSON: ${messageOf(error)}`] };
  }
  const reader = new Reader();
  const top = reader.object(content, '', TOP_LEVEL);
  if (top === null) return { ok: false, problems: reader.problems };
  const algorithm = reader.value(top, 'algorithm', '', GATEWAY_SETTINGS.lbAlgorithm.kind) as
    string | undefined;
  const values = reader.health(top['healthCheck'], defaults);
  const members = reader.servers(top['servers']);
  if (reader.problems.length > 0) return { ok: false, problems: reader.problems };
  return { ok: true, members, document: { algorithm: algorithm ?? null, check: healthPolicy(values) } };
}

type Fields = Readonly<Record<string, unknown>>;

class Reader {
  readonly problems: string[] = [];

  /** The object that `value` is, or null; unknown keys are problems. */
  object(value: unknown, name: string, known: readonly string[]): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#refuse(name === '' ? 'the file' : name, value, `an object with ${known.join(', ')}`);
      return null;
    }
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue;
      const meant = meantKey(key, known);
      const hint = meant === null ? `; known are ${known.join(', ')}` : `; did you mean ${meant}?`;
      this.problems.push(`${dotted(name, key)} is not known${hint}`);
    }
    return value as Fields;
  }

  /** undefined where it is not there, or wrong. */
  value(fields: Fields, key: string, name: string, kind: Kind<unknown>): unknown {
    const value = fields[key];
    if (value === undefined || value === null) return undefined;
    const parsed = kind.schema.safeParse(value);
    if (parsed.success) return parsed.data;
    this.#refuse(dotted(name, key), value, kind.allowed);
    return undefined;
  }

  health(value: unknown, defaults: ServiceValues): ServiceValues {
    if (value === undefined || value === null) return defaults;
    const fields = this.object(value, 'healthCheck', Object.keys(HEALTH_KEYS));
    if (fields === null) return defaults;
    const found = Object.entries(HEALTH_KEYS).flatMap(([key, setting]) => {
      const read = this.value(fields, key, 'healthCheck', SERVICE_SETTINGS[setting].kind);
      return read === undefined ? [] : [[setting, read] as const];
    });
    const values: ServiceValues = { ...defaults, ...Object.fromEntries(found) };
    if (values.healthCheckTimeout > values.healthCheckInterval) {
      const allowed = `at most healthCheck.interval (${values.healthCheckInterval})`;
      this.#refuse('healthCheck.timeout', values.healthCheckTimeout, allowed);
    }
    return values;
  }

  servers(value: unknown): readonly Member[] {
    if (!Array.isArray(value) || value.length === 0 || value.length > MOST_SERVERS) {
      this.#refuse('servers', value, `a list of 1 to ${MOST_SERVERS} servers`);
      return [];
    }
    const members = new Map<string, Member>();
    for (const [index, entry] of value.entries()) {
      const name = `servers[${index}]`;
      const member = typeof entry === 'string' ? this.#text(entry, name) : this.#fields(entry, name);
      if (member === null) continue;
      if (members.has(member.id)) this.problems.push(`${name}: ${member.id} is there twice`);
      members.set(member.id, member);
    }
    return [...members.values()];
  }

  #text(entry: string, name: string): Member | null {
    const read = parseMember(entry);
    if (typeof read !== 'string') return read;
    this.problems.push(`${name}: ${read}`);
    return null;
  }

  #fields(entry: unknown, name: string): Member | null {
    const fields = this.object(entry, name, SERVER_KEYS);
    if (fields === null) return null;
    const { host } = fields;
    const number = this.value(fields, 'port', name, port());
    const weight = this.value(fields, 'weight', name, count(1, MOST_WEIGHT));
    if (fields['port'] === undefined) this.#refuse(dotted(name, 'port'), undefined, port().allowed);
    if (typeof host !== 'string') {
      this.#refuse(dotted(name, 'host'), host, 'a host name or an IP address');
      return null;
    }
    // With any port and weight that are right, the host is what can still be wrong.
    const plain = host.replace(/^\[(.*)\]$/, '$1');
    const checked = parseMember(memberOf(plain, 1).id);
    if (typeof checked === 'string') {
      this.#refuse(dotted(name, 'host'), host, 'a host name or an IP address');
      return null;
    }
    return typeof number === 'number'
      ? memberOf(checked.host, number, (weight as number | undefined) ?? 1)
      : null;
  }

  #refuse(name: string, value: unknown, allowed: string): void {
    const shown = value === undefined ? 'is missing' : `= ${showValue(value, false)}`;
    this.problems.push(`${name} ${shown}, expected ${allowed}`);
  }
}

const dotted = (name: string, key: string): string => (name === '' ? key : `${name}.${key}`);
