/** A service `tiny` (support/apps/tiny.cjs) with its ecosystem file, its ports and process managers for it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../backend/src/adapters/clock.js';
import { EcosystemReader } from '../../backend/src/adapters/pm2/ecosystem.js';
import {
  createPm2ProcessManager,
  type Pm2Options,
  type Pm2ProcessManager,
} from '../../backend/src/adapters/pm2/processManager.js';
import type { Logger } from '../../backend/src/ports.js';
import { createPm2Home, freePortRange, type Pm2Home } from './pm2.js';
import { waitFor } from './waitFor.js';

export const tinyApp = fileURLToPath(new URL('./apps/tiny.cjs', import.meta.url));

/** Size of the service's port range. */
const PORTS = 12;

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface TinyService {
  readonly pm2: Pm2Home;
  readonly firstPort: number;
  /** Everything that any of its managers told about taken ports. */
  readonly occupied: { service: string; port: number; by: string }[];
  /** A manager for `tiny` described by an ecosystem file with `app` merged in; closed by `dispose`. */
  manager(app?: object, overrides?: Partial<Pm2Options>): Pm2ProcessManager;
  dispose(): Promise<void>;
}

export async function createTinyService(): Promise<TinyService> {
  const pm2 = createPm2Home();
  const firstPort = await freePortRange(PORTS);
  const open: Pm2ProcessManager[] = [];
  const occupied: TinyService['occupied'] = [];
  const manager = (app: object = {}, overrides: Partial<Pm2Options> = {}): Pm2ProcessManager => {
    const file = join(pm2.home, 'ecosystem.config.cjs');
    const base = { name: 'tiny', script: tinyApp, cwd: pm2.home, env: { PORT: firstPort, FROM: 'file' } };
    writeFileSync(file, `module.exports = ${JSON.stringify({ apps: [{ ...base, ...app }] })}`);
    const reader = new EcosystemReader({ file, pm2Home: pm2.home });
    const created = createPm2ProcessManager({
      pm2Home: pm2.home,
      services: () => ['tiny'],
      definitions: () => reader.read(),
      portRange: () => ({ first: firstPort, last: firstPort + PORTS - 1 }),
      killTimeoutMs: () => 1_000,
      clock: systemClock,
      logger: silent,
      onPortOccupied: (event) => occupied.push(event),
      ...overrides,
    });
    open.push(created);
    return created;
  };
  const dispose = async (): Promise<void> => {
    await Promise.all(open.map((each) => each.close()));
    await pm2.dispose();
  };
  return { pm2, firstPort, occupied, manager, dispose };
}

export interface TinyAnswer {
  readonly pid: number;
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

/** Asks an instance who it is, as soon as it listens. */
export function askTiny(port: number | null): Promise<TinyAnswer> {
  const ask = async (): Promise<TinyAnswer> =>
    (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as TinyAnswer;
  return waitFor(ask, { what: `an answer on port ${port}` });
}
