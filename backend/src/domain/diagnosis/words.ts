/** How diagnoses name things. */
import type { ListenAddress, Subject } from './facts.js';

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
