/** The kinds of probe. Adding one: a file here, a line here, and its spec in domain/policy.ts. */
import type { ProbeSpec } from '../../domain/policy.js';
import type { Prober, ProbeTarget } from '../../ports.js';
import { portOwners } from '../net/portOwners.js';
import { probeHttp } from './http.js';
import type { Probe } from './probe.js';
import { probeTcp } from './tcp.js';

const PROBES: { readonly [Kind in ProbeSpec['kind']]: Probe<Kind> } = {
  http: probeHttp,
  tcp: probeTcp,
};

export const prober: Prober = {
  async probe<Kind extends ProbeSpec['kind']>(
    target: ProbeTarget,
    spec: Extract<ProbeSpec, { kind: Kind }>,
    timeoutMs: number,
  ) {
    // Before it is asked, because the probe may carry secrets (healthHeaders), and after, because it may have changed.
    const before = strangerAt(target);
    if (before !== null) return { ...before, latencyMs: 0 };
    const result = await PROBES[spec.kind as Kind](target, spec, timeoutMs);
    const after = result.ok ? strangerAt(target) : null;
    return after === null ? result : { ...after, latencyMs: result.latencyMs };
  },
};

/** What a process of another user says is nothing about the instance. */
function strangerAt({ host, port, owner }: ProbeTarget) {
  const verdict = owner === undefined ? 'unknown' : portOwners.check(host, port, owner);
  if (typeof verdict !== 'object') return null;
  const detail = `port ${port} is held by a process of another user (uid ${verdict.userId})`;
  return { ok: false, kind: 'stranger', detail } as const;
}
