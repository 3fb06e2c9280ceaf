/** Whether the ports that are about to be used are free, before PM2 starts something that then loops. */
import { createServer } from 'node:net';
import { describePortHolder } from '../adapters/net/portHolder.js';
import type { Config } from '../config/load.js';
import { HoldfastError } from '../domain/errors.js';
import { GATEWAY_NAME, SUPERVISOR_NAME, type DefinedApp } from './ecosystemFile.js';
import { manualProcesses } from './manual.js';
import { samplePortSetting } from './sample.js';

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
    const setting =
      samplePortSetting(config, name) ?? `${app.portFrom} of ${name} in ${config.ecosystemFile}`;
    return Array.from({ length: Math.max(1, instances) }, (_, index) => ({
      name,
      port: first + index,
      chosenBy: index === 0 ? setting : `${setting}, which is ${first}: each instance takes the next one`,
    }));
  });
}

/** @throws HoldfastError `port.taken` naming every taken one, its holder where known, and what chose that port. */
export async function requireFreePorts(config: Config, apps: readonly DefinedApp[]): Promise<void> {
  const taken: string[] = [];
  for (const { name, port, chosenBy } of wantedPorts(config, apps)) {
    if (await isPortFree(port)) continue;
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
