/** How diagnoses name things. */
import type { HttpSpec, ListenAddress, Subject } from './facts.js';

const LONGEST_BODY = 80;
const HIDDEN = '(hidden)';
const SHORTEST_SECRET = 4;

/** "my-api#3 (port 14000)". */
export function subjectName({
  service,
  instance: { pmId, port },
}: Pick<Subject, 'service' | 'instance'>): string {
  return `${service}#${pmId}${port === null ? '' : ` (port ${port})`}`;
}

export function seconds(durationMs: number): string {
  const rounded =
    durationMs < 10_000 ? (durationMs / 1_000).toFixed(1) : String(Math.round(durationMs / 1_000));
  return `${rounded.replace(/\.0$/, '')} s`;
}

/** "[::1]:3000", "127.0.0.1:3000", and for one that listens on all addresses "port 3000". */
export function place({ address, port }: ListenAddress): string {
  if (isAny(address)) return `port ${port}`;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Whether a connection to 127.0.0.1 reaches what listens on that address. */
export function isLoopbackReach(address: string): boolean {
  return isAny(address) || address === '127.0.0.1' || address === '::ffff:127.0.0.1';
}

function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** "200–399", "204". */
export function range({ statusMin, statusMax }: HttpSpec): string {
  return statusMin === statusMax ? String(statusMin) : `${statusMin}–${statusMax}`;
}

/** How a body begins, in quotes and on one line. */
export function begins(body: string, probe: HttpSpec): string {
  const text = withoutSecrets(body, probe).replaceAll(/\s+/g, ' ').trim();
  return JSON.stringify(text.length <= LONGEST_BODY ? text : `${text.slice(0, LONGEST_BODY - 1)}…`);
}

/** What an application answered, without the values of healthHeaders: some show the request that they refuse. */
export function withoutSecrets(text: string, { headers = {} }: HttpSpec): string {
  const words = Object.values(headers).flatMap((value) => value.split(' '));
  const secrets = words.filter(({ length }) => length >= SHORTEST_SECRET).sort((a, b) => b.length - a.length);
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, HIDDEN), text);
}
