/**
 * What every kind of probe shares: one deadline over the whole probe (connecting, waiting, reading), one outcome,
 * and nothing left open afterwards. A kind of probe says how it begins and may call `settle` as often as it likes;
 * the first call counts.
 */
import type { ProbeSpec } from '../../domain/policy.js';
import type { ProbeResult } from '../../ports.js';

export interface Target {
  readonly host: string;
  readonly port: number;
}

export type Verdict = { readonly ok: true } | (Omit<Failure, 'latencyMs'> & { readonly ok: false });
type Failure = Extract<ProbeResult, { ok: false }>;

/** Begins a probe; the function it returns ends whatever is open, and is called exactly once. */
export type Begin = (settle: (verdict: Verdict) => void) => () => void;

/** A probe of one kind. Never rejects. */
export type Probe<Kind extends ProbeSpec['kind']> = (
  target: Target,
  spec: Extract<ProbeSpec, { kind: Kind }>,
  timeoutMs: number,
) => Promise<ProbeResult>;

export const bad = (kind: Failure['kind'], detail: string): Verdict => ({ ok: false, kind, detail });

/** Runs one probe to its verdict or to its deadline. `waitedFor` says what was missing at the deadline. */
export async function runProbe(
  timeoutMs: number,
  waitedFor: () => string,
  begin: Begin,
): Promise<ProbeResult> {
  const startedMs = performance.now();
  let end: () => void = () => undefined;
  const verdict = await new Promise<Verdict>((resolve) => {
    const timer = setTimeout(() => {
      // Not at once: where this process was held up, the answer may lie there unread.
      setImmediate(() => resolve(bad('timeout', `no ${waitedFor()} within ${timeoutMs} ms`)));
    }, timeoutMs);
    const settle = (outcome: Verdict): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    try {
      end = begin(settle);
    } catch (error) {
      settle(explainError(error as Error, ''));
    }
  });
  end();
  return { ...verdict, latencyMs: performance.now() - startedMs };
}

/** @param during completes the sentence "connection reset …", with a space in front, or empty. */
export function explainError(error: NodeJS.ErrnoException, during: string): Verdict {
  const { code = '' } = error;
  if (code === 'ECONNREFUSED') return bad('refused', 'connection refused: nothing listens there');
  if (code === 'ECONNRESET' || code === 'EPIPE') return bad('error', `connection closed${during}`);
  if (code === 'HPE_HEADER_OVERFLOW') return bad('error', 'the headers of the answer are too large');
  if (code.startsWith('HPE_')) return bad('error', `the answer is not HTTP: ${error.message}`);
  return bad('error', code === '' ? error.message : `${error.message} (${code})`);
}
