/** The header fields of a request that asks an application how it is. */
import type { ProbeSpec } from '../../domain/policy.js';

type HttpSpec = Extract<ProbeSpec, { kind: 'http' }>;

/** Without a host of its own it is the address that is asked: node:http fills that in. */
export function probeHeaders({ host, headers }: Pick<HttpSpec, 'host' | 'headers'>): Record<string, string> {
  return {
    accept: '*/*',
    'user-agent': 'holdfast-probe',
    ...headers,
    connection: 'close',
    ...(host === undefined ? {} : { host }),
  };
}
