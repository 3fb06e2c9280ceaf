/**
 * Traffic through the gateway, as clients send it: it knows nothing of instances and sets nothing apart. What the test
 * kills or hangs, the gateway has to make good.
 */
import { get } from 'node:http';
import { messageOf } from '../../domain/errors.js';
import type { CliContext } from '../context.js';
import { gatewayStatus } from '../gatewayView.js';
import { Load } from './load.js';

/** A request that met an instance that hangs is answered by another one when the first is ended. */
const PATIENCE_MS = 30_000;
const FIRST_ANSWER_MS = 5_000;

export interface GatewayLoad {
  readonly load: Load;
  /** What it asks for, for people: `http://127.0.0.1:13003/`. */
  readonly url: string;
}

/**
 * Finds out whether the gateway runs and where it takes requests for `service`.
 * @param slowPath null: the service has no fault switches.
 * @returns a load that is not started yet, or why there is none.
 */
export async function findGatewayLoad(
  context: CliContext,
  service: string,
  slowPath: string | null,
): Promise<GatewayLoad | { readonly why: string }> {
  const { port, tlsRedirectPort } = context.config.gateway;
  if (tlsRedirectPort !== null)
    return { why: 'The gateway sends plain requests to TLS (tlsRedirectPort), so none go through it here.' };
  const status = await gatewayStatus(context);
  if ('problem' in status)
    return { why: `No traffic through the gateway, which is not to be had: ${status.problem}.` };
  const routes = status.pools.find(({ name }) => name === service)?.routes ?? [];
  // "*/ui": any host, and a prefix.
  const path = routes.find((route) => route.startsWith('*/'))?.slice(1);
  if (path === undefined)
    return {
      why: `No traffic through the gateway: no route of it leads to ${service}, whatever the host (LB_ROUTES).`,
    };
  const target = { name: 'through the gateway', host: hostOf(context), port, isVictim: false };
  const problem = await firstAnswer(target.host, port, path);
  if (problem !== null) return { why: `No traffic through the gateway: ${path} there ${problem}.` };
  const load = new Load({
    path,
    slowPath: path === '/' ? slowPath : null,
    patienceMs: PATIENCE_MS,
    next: () => target,
  });
  return {
    load,
    url: `http://${target.host.includes(':') ? `[${target.host}]` : target.host}:${port}${path}`,
  };
}

function hostOf({ config: { gateway } }: CliContext): string {
  return gateway.host === '0.0.0.0' ? '127.0.0.1' : gateway.host === '::' ? '::1' : gateway.host;
}

/** null: there is a proper one. */
function firstAnswer(host: string, port: number, path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const request = get({ host, port, path, agent: false, timeout: FIRST_ANSWER_MS }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      resolve(status >= 500 ? `answers HTTP ${status}` : null);
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', (error) => resolve(`gives no answer: ${messageOf(error)}`));
  });
}
