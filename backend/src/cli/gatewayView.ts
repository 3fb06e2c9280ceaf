/** The gateway as it shows itself: its health, which anybody may ask for, and `/lb/status`, for this machine and the token. */
import { get } from 'node:http';
import { z } from 'zod';
import { reachableUrl } from '../config/reachable.js';
import type { CliContext } from './context.js';

const ANSWER_TIMEOUT_MS = 5_000;
const LARGEST_ANSWER_CHARACTERS = 16 * 1024 * 1024;

/** What of `/lb/status` the commands use. */
const statusSchema = z.object({
  workers: z.array(z.object({ state: z.string() })),
  pools: z.array(
    z.object({
      name: z.string(),
      condition: z.enum(['up', 'degraded', 'down']),
      algorithm: z.string(),
      routes: z.array(z.string()),
      requestsPerSecond: z.number(),
      inFlight: z.number(),
      latencyMs: z.object({ p95: z.number() }).nullable(),
      errorRate: z.number().nullable(),
      upstreams: z.array(z.object({ id: z.string(), state: z.string() })),
    }),
  ),
});

export type GatewayStatusView = z.infer<typeof statusSchema>;
export type GatewayPoolView = GatewayStatusView['pools'][number];

export interface GatewayHealth {
  readonly ok: boolean;
  readonly latencyMs: number | null;
  /** For people: "1 of 2 pools has no upstream". */
  readonly detail: string;
  /** Nothing listens there: it does not run. */
  readonly isAway: boolean;
}

/** Asks for `/health`. Never rejects. */
export async function gatewayHealth(context: CliContext): Promise<GatewayHealth> {
  const startedMs = performance.now();
  const answer = await ask(context, '/health', {});
  const latencyMs = performance.now() - startedMs;
  if ('problem' in answer) {
    const { problem, code } = answer;
    return {
      ok: false,
      latencyMs: null,
      detail: `does not answer: ${problem}`,
      isAway: code === 'ECONNREFUSED',
    };
  }
  const known = WORDS.get(wordOf(answer.body));
  const detail = known ?? `answers HTTP ${answer.status}; is it a Holdfast gateway?`;
  return { ok: answer.status === 200 && known !== undefined, latencyMs, detail, isAway: false };
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ['ok', 'every pool has an upstream'],
  ['degraded', 'a pool has no upstream'],
  ['unavailable', 'no pool has an upstream: every request gets 503'],
  ['draining', 'it is on its way out'],
]);

function wordOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    const status =
      typeof parsed === 'object' && parsed !== null && 'status' in parsed ? parsed.status : undefined;
    return typeof status === 'string' ? status : '';
  } catch {
    return '';
  }
}

/** Its `/lb/status`, or why it is not to be had. Never rejects. */
export async function gatewayStatus(
  context: CliContext,
): Promise<GatewayStatusView | { readonly problem: string }> {
  const { apiToken } = context.config;
  const headers = apiToken === null ? {} : { authorization: `Bearer ${apiToken}` };
  const answer = await ask(context, '/lb/status', headers);
  if ('problem' in answer) return answer;
  if (answer.status !== 200) return { problem: `/lb/status answers HTTP ${answer.status}` };
  try {
    return statusSchema.parse(JSON.parse(answer.body));
  } catch {
    return { problem: '/lb/status is not that of a Holdfast gateway of this version' };
  }
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

interface NoAnswer {
  readonly problem: string;
  /** ECONNREFUSED, …; '' when there is none. */
  readonly code: string;
}

function ask(
  { config: { gateway } }: CliContext,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer | NoAnswer> {
  return new Promise((resolve) => {
    const request = get(`${reachableUrl(gateway.host, gateway.port)}${path}`, { agent: false, headers });
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), ANSWER_TIMEOUT_MS);
    request.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
        if (body.length > LARGEST_ANSWER_CHARACTERS) request.destroy(new Error('the answer never ends'));
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.once('error', (error) => resolve({ problem: error.message, code: '' }));
    });
    request.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ problem: error.message || String(error.code), code: error.code ?? '' }),
    );
    request.once('close', () => clearTimeout(timer));
  });
}
