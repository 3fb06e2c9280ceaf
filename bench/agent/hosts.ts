/** The smallest HTTP service (apps/instance.cjs) without and with the agent in it, and a supervisor's end for agents. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentServer } from '../../backend/src/adapters/agents/agentServer.js';
import { systemClock } from '../../backend/src/adapters/clock.js';
import { freePortRange } from '../../test/support/ports.js';
import { waitFor } from '../../test/support/waitFor.js';
import { PinnedProcess, PROXY_CORE } from '../gateway/processes.js';
import { benchFolder, rootFolder } from '../lib/paths.js';

export const PRELOAD = join(rootFolder, 'backend/preload.cjs');
export const INSTANCE = join(benchFolder, 'apps/instance.cjs');
export const SETTINGS = { hangTimeoutMs: 1_000, intervalMs: 250, killTimeoutMs: 10_000 };

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** What agents connect to: the supervisor's own server, in this process. */
export interface Supervision {
  readonly path: string;
  readonly server: AgentServer;
  close(): Promise<void>;
}

export async function startSupervision(): Promise<Supervision> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-agents-'));
  const path = join(folder, 'run/agents.sock');
  const server = new AgentServer({ path, clock: systemClock, logger: silent, settings: () => SETTINGS });
  await server.start();
  const close = async (): Promise<void> => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { path, server, close };
}

export interface Host {
  readonly port: number;
  readonly process: PinnedProcess;
}

/** A service, pinned to the core that is measured; resolves when it answers and, with `agents`, when its agent does. */
export async function startHost(agents: Supervision | null): Promise<Host> {
  const port = await freePortRange(1);
  const preloading = agents === null ? [] : ['--require', PRELOAD];
  const host = new PinnedProcess({
    name: agents === null ? 'without' : 'with',
    core: PROXY_CORE,
    command: () => [process.execPath, ...preloading, INSTANCE],
    env: () => ({
      PORT: String(port),
      ...(agents === null ? {} : { HOLDFAST_AGENT_SOCKET: agents.path }),
    }),
  });
  await host.answers(port);
  const [pid = 0] = host.pids();
  if (agents !== null) {
    await waitFor(() => agents.server.isConnected(pid), { what: `the agent of ${pid}` });
  }
  return { port, process: host };
}
