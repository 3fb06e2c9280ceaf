/** Whether the gateway serves, as clients see it. */
import { get } from 'node:http';
import { reachableUrl } from '../config/reachable.js';
import { HoldfastError } from '../domain/errors.js';
import type { CliContext } from './context.js';
import { AwaitedProcess } from './deployment.js';
import { GATEWAY_NAME } from './ecosystemFile.js';

const ANSWER_TIMEOUT_MS = 2_000;

/** For people: "http://127.0.0.1:13003". */
export function gatewayUrl({ config: { gateway } }: CliContext): string {
  return reachableUrl(gateway.host, gateway.port);
}

/**
 * Waits until the gateway has an upstream to send requests to.
 * @throws HoldfastError `gateway.not-serving` when it has not within `timeoutMs`, or PM2 shows that it will not.
 */
export async function awaitGateway(context: CliContext, timeoutMs: number): Promise<void> {
  const url = gatewayUrl(context);
  let answer: number | string = 0;
  const answers200 = async (): Promise<boolean> => {
    answer = await statusOf(`${url}/health`);
    return answer === 200;
  };
  const waited = new AwaitedProcess(context, GATEWAY_NAME);
  const problem = await waited.until(answers200, timeoutMs, `waiting for the gateway at ${url}`);
  if (problem === null) return;
  const last = typeof answer === 'number' ? `; its last answer to GET /health was ${answer}` : ` (${answer})`;
  throw new HoldfastError(
    'gateway.not-serving',
    `The gateway at ${url} ${problem}${last}.\n${await waited.lastWords()}`,
  );
}

/** Whether `url` is answered with 200. Never rejects. */
export async function isAnswered(url: string): Promise<boolean> {
  return (await statusOf(url)) === 200;
}

/** The status, or what went wrong. Never rejects. */
function statusOf(url: string): Promise<number | string> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: ANSWER_TIMEOUT_MS }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', (error) => resolve(error.message));
  });
}
