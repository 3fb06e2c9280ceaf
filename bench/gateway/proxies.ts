/**
 * The proxies that are compared, each as one worker on one core, as it is run in production: keep-alive to the
 * upstreams, active checks where there are any, forwarded fields and a request id, time-outs, WebSockets.
 */
import { join } from 'node:path';
import { WORKER_FLAGS } from '../../backend/src/gateway/primary/workerFlags.js';
import { freePort } from '../../test/support/privateServer.js';
import { benchFolder, rootFolder } from '../lib/paths.js';
import { haproxyConfig, nginxConfig } from './configs.js';
import { PinnedProcess, PROXY_CORE, type PinnedOptions, type Programs } from './processes.js';

/** `floor` is no proxy for use, but what each proxy in Node costs at least. */
export type ProxyName = 'holdfast' | 'floor' | 'haproxy' | 'nginx' | 'http-proxy';

export interface Proxy {
  readonly name: ProxyName;
  readonly port: number;
  readonly process: PinnedProcess;
}

/** host:port. */
export type Upstreams = readonly string[];

type Recipe = (port: number, upstreams: Upstreams, program: Programs) => Omit<PinnedOptions, 'name' | 'core'>;

const RECIPES: Readonly<Record<ProxyName, Recipe>> = {
  // What `npm run balancer` runs, with its defaults.
  holdfast: (port, upstreams, program) => ({
    command: () => [program('node'), join(rootFolder, 'backend/dist/gateway.js')],
    env: (folder) => ({
      BALANCER_PORT: String(port),
      BALANCER_HOST: '127.0.0.1',
      GATEWAY_WORKERS: '1',
      BACKEND_HOSTS: upstreams.join(','),
      HA_DATA_DIR: folder,
      HA_LOG_DIR: folder,
    }),
  }),
  // Its garbage is collected as that of the gateway's workers.
  floor: (port, [upstream = ''], program) => ({
    command: () => [
      program('node'),
      ...WORKER_FLAGS,
      join(benchFolder, 'dist/bench/gateway/floorPeer.js'),
      String(port),
      upstream,
    ],
  }),
  haproxy: (port, upstreams, program) => ({
    files: { 'haproxy.cfg': haproxyConfig(port, upstreams) },
    command: (folder) => [program('haproxy'), '-db', '-f', join(folder, 'haproxy.cfg')],
  }),
  nginx: (port, upstreams, program) => ({
    files: { 'nginx.conf': nginxConfig(port, upstreams) },
    command: (folder) => [
      program('nginx'),
      ...['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')],
    ],
  }),
  'http-proxy': (port, upstreams, program) => ({
    command: () => [
      program('node'),
      join(benchFolder, 'gateway/httpProxyPeer.cjs'),
      String(port),
      upstreams.join(','),
    ],
  }),
};

/** Resolves when it forwards. */
export async function startProxy(name: ProxyName, upstreams: Upstreams, program: Programs): Promise<Proxy> {
  const port = await freePort();
  const process = new PinnedProcess({ name, core: PROXY_CORE, ...RECIPES[name](port, upstreams, program) });
  try {
    await process.answers(port, '/small');
  } catch (error) {
    await process.end();
    throw error;
  }
  return { name, port, process };
}
