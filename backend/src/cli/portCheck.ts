/** Whether the ports that are about to be used are free, before PM2 starts something that then loops. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describePortHolder } from '../adapters/net/portHolder.js';
import { listeningSockets } from '../adapters/net/listeningSockets.js';
import type { Config } from '../config/load.js';
import { HoldfastError } from '../domain/errors.js';
import type { CliContext } from './context.js';
import { GATEWAY_NAME, SUPERVISOR_NAME, type DefinedApp } from './ecosystemFile.js';
import { manualProcesses } from './manual.js';

/** Free on loopback and on every address: either kind of listener would be in the way. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await canListen(port, '127.0.0.1')) && (await canListen(port, undefined));
}

function canListen(port: number, host: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, ...(host === undefined ? {} : { host }), exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/** The first free port from `first` on; `first` itself where there is none. */
export async function freePortFrom(first: number): Promise<number> {
  for (let port = first; port <= 65_535; port += 1) if (await isPortFree(port)) return port;
  return first;
}

/** Longer than TIME_WAIT, which is 60 s on Linux. */
const CONNECTION_PATIENCE_MS = 65_000;
const LOOK_AGAIN_MS = 500;

/** true as well where that cannot be seen. */
async function isListenedOn(port: number): Promise<boolean> {
  const sockets = await listeningSockets();
  return sockets === null || sockets.some((socket) => socket.port === port);
}

async function becomesFree(port: number): Promise<boolean> {
  const deadline = performance.now() + CONNECTION_PATIENCE_MS;
  while (performance.now() < deadline && !(await isListenedOn(port))) {
    if (await isPortFree(port)) return true;
    await sleep(LOOK_AGAIN_MS);
  }
  return false;
}

type PortRange = readonly [first: number, last: number];

/** The ports that the kernel gives to outgoing connections; null where that is not known. */
async function clientPorts(): Promise<PortRange | null> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const [first, last] = text.trim().split(/\s+/).map(Number);
  return first === undefined || last === undefined || Number.isNaN(first + last) ? null : [first, last];
}

function isWithin(port: number, range: PortRange | null): range is PortRange {
  return range !== null && port >= range[0] && port <= range[1];
}

interface WantedPort {
  readonly name: string;
  readonly port: number;
  /** What chose it. */
  readonly chosenBy: string;
}

/** The ports that `apps` will listen on. */
export function wantedPorts(config: Config, apps: readonly DefinedApp[]): readonly WantedPort[] {
  return apps.flatMap((app): WantedPort[] => {
    const { name, port: first, instances } = app;
    if (name === SUPERVISOR_NAME) return [{ name, port: config.port, chosenBy: 'HA_PORT' }];
    if (name === GATEWAY_NAME) return [{ name, port: config.gateway.port, chosenBy: 'BALANCER_PORT' }];
    if (first === null) return [];
    const setting = app.portVariable ?? `${app.portFrom} of ${name} in ${config.ecosystemFile}`;
    return Array.from({ length: Math.max(1, instances) }, (_, index) => ({
      name,
      port: first + index,
      chosenBy: index === 0 ? setting : `${setting}, which is ${first}: each instance takes the next one`,
    }));
  });
}

/**
 * Waits for a port on which nothing listens and that is taken all the same: an outgoing connection has it, or had it a
 * moment ago (TIME_WAIT, a minute), because it lies in the range that these get theirs from. That passes by itself.
 * @throws HoldfastError `port.taken` naming every taken one, its holder where known, and what chose that port.
 */
export async function requireFreePorts(context: CliContext, apps: readonly DefinedApp[]): Promise<void> {
  const { config, terminal } = context;
  const taken: string[] = [];
  for (const { name, port, chosenBy } of wantedPorts(config, apps)) {
    if (await isPortFree(port)) continue;
    if (!(await isListenedOn(port))) {
      const range = await clientPorts();
      const why = isWithin(port, range) ? ` (they get ports ${range[0]} to ${range[1]})` : '';
      const what = `A connection of this machine${why} has port ${port}, which ${name} needs (${chosenBy})`;
      terminal.progress(`${what}; waiting for it`);
      if (await becomesFree(port)) continue;
      if (!(await isListenedOn(port))) {
        taken.push(`${what}. Choose a port below ${range?.[0] ?? 32_768}.`);
        continue;
      }
    }
    const holder = await describePortHolder(port);
    const by = holder === null ? '' : ` by ${holder}`;
    taken.push(
      `Port ${port}, which ${name} needs, is taken${by}. End that, or choose another port: ${chosenBy}.`,
    );
  }
  if (taken.length === 0) return;
  const byHand = manualProcesses(config.dataDir).map(
    ({ command, identity }) => `\`${command}\` runs here (pid ${identity.pid}): npm stop ends it.`,
  );
  throw new HoldfastError('port.taken', [...taken, ...byHand].join('\n'));
}
