/** Which source of upstreams the gateway's settings choose, and the rules between those settings. */
import { portRange, type Member } from '../domain/upstreams/members.js';
import type { UpstreamSource } from '../domain/upstreams/upstreamSource.js';
import type { GatewayInputs, GatewayRule } from './gateway.js';
import type { GatewayValues } from './gatewaySchema.js';

/** Whether a setting has a value of its own, and not its default. */
export type IsSet = (key: string) => boolean;

type Key = keyof GatewayValues;

const THIS_MACHINE = '127.0.0.1';
const LAST_PORT = 65_535;

/** Each source, and the settings that choose it: any one of them does. */
const SOURCES: readonly (readonly [Key, ...Key[]])[] = [
  ['backendHosts'],
  ['backendStartPort', 'backendCount'],
  ['backendDns'],
  ['consulService'],
  ['lbConfigFile'],
];

/** Any of them chooses a source. */
export const SOURCE_KEYS: readonly Key[] = SOURCES.flat();

/** The settings that choose sources, one for each source that is chosen. */
export function chosenSources(isSet: IsSet): readonly Key[] {
  return SOURCES.flatMap((keys) => keys.find(isSet) ?? []);
}

export function sourceOf({ values, isSet, environment, absolute }: GatewayInputs): UpstreamSource {
  const [chosen] = chosenSources(isSet);
  switch (chosen) {
    case 'backendHosts':
      return { kind: 'static', members: values.backendHosts ?? [] };
    case 'backendStartPort':
    case 'backendCount':
      return {
        kind: 'static',
        members: portRange(THIS_MACHINE, values.backendStartPort, values.backendCount),
      };
    case 'backendDns':
      return dnsSource(values);
    case 'consulService':
      return {
        kind: 'consul',
        url: values.consulUrl,
        service: values.consulService ?? '',
        datacenter: values.consulDatacenter,
        tag: values.consulTag,
        token: values.consulToken,
      };
    case 'lbConfigFile':
      return { kind: 'file', file: absolute(values.lbConfigFile ?? '') };
    default:
      return { kind: 'pm2', standIn: standIn({ values, isSet, environment }) };
  }
}

function dnsSource(values: GatewayValues): UpstreamSource {
  const name = values.backendDns ?? '';
  return {
    kind: 'dns',
    name,
    port: isServiceName(name) ? null : values.backendPort,
    intervalMs: values.backendDnsInterval,
    servers: values.backendDnsServers,
  };
}

/** Where `npm run cluster` starts instances with the same settings; null: beyond the last port. */
function standIn({
  values,
  isSet,
  environment,
}: Pick<GatewayInputs, 'values' | 'isSet' | 'environment'>): readonly Member[] | null {
  const first = isSet('startPort') ? environment.startPort : values.backendStartPort;
  const count = isSet('instanceCount') ? environment.instanceCount : values.backendCount;
  return first + count - 1 > LAST_PORT ? null : portRange(THIS_MACHINE, first, count);
}

/** Names of services begin with _ (RFC 2782), names of hosts don't. */
export const isServiceName = (name: string): boolean => name.startsWith('_');

/** One source at most, and a port range that exists. */
export const SOURCE_RULES: readonly GatewayRule[] = [
  ...SOURCES.flatMap((keys) =>
    keys.map((blames): GatewayRule => ({
      blames,
      inViewOf: SOURCE_KEYS,
      holds: (_values, isSet) => !isSet(blames) || keys.some((key) => key === chosenSources(isSet)[0]),
      allowed: (_values, isSet) =>
        `this unset, because ${chosenSources(isSet)[0]} is set: upstreams come from one source`,
    })),
  ),
  {
    blames: 'backendCount',
    inViewOf: ['backendStartPort'],
    holds: ({ backendStartPort, backendCount }) => backendStartPort + backendCount - 1 <= LAST_PORT,
    allowed: ({ backendStartPort }) =>
      `at most ${LAST_PORT + 1 - backendStartPort}: the range begins at backendStartPort (${backendStartPort}), and the last port is ${LAST_PORT}`,
  },
];
