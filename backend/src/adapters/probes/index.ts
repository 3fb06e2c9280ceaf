/** The kinds of probe. Adding one: a file here, a line here, and its spec in domain/policy.ts. */
import type { ProbeSpec } from '../../domain/policy.js';
import type { Prober } from '../../ports.js';
import { probeHttp } from './http.js';
import type { Probe } from './probe.js';
import { probeTcp } from './tcp.js';

const PROBES: { readonly [Kind in ProbeSpec['kind']]: Probe<Kind> } = {
  http: probeHttp,
  tcp: probeTcp,
};

export const prober: Prober = {
  probe<Kind extends ProbeSpec['kind']>(
    target: { readonly host: string; readonly port: number },
    spec: Extract<ProbeSpec, { kind: Kind }>,
    timeoutMs: number,
  ) {
    return PROBES[spec.kind as Kind](target, spec, timeoutMs);
  },
};
