/**
 * Whoever starts an instance, it carries an agent: `pm2 start` of an ecosystem file, PM2 as it restarts one, the
 * supervisor as it adds one, from the file or from what runs, and again under a new daemon. In cluster and in fork mode,
 * and nothing of it is left in what the application sees or hands on.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentListener } from '../../support/agentListener.js';
import { repository } from '../../support/deployment.js';
import { isAlive, sendSignal } from '../../support/processes.js';
import { askTiny, createTinyService, tinyApp, type TinyService } from '../../support/tinyService.js';
import { waitFor } from '../../support/waitFor.js';

const { withAgent } = createRequire(import.meta.url)(join(repository, 'backend/ecosystem.cjs')) as {
  withAgent(app: object): { readonly env: object };
};

let listener: AgentListener;
let tiny: TinyService;

beforeEach(async () => {
  listener = await AgentListener.start();
  tiny = await createTinyService();
});
afterEach(async () => {
  await tiny.dispose();
  await listener.dispose();
});

/** What `withAgent` makes of the service, with the test's own socket. */
function carrying(mode: 'cluster' | 'fork'): object {
  const app = { exec_mode: mode, instances: 1, pmx: false, env: { PORT: tiny.firstPort, FROM: 'file' } };
  const made = withAgent(app);
  return { ...made, env: { ...made.env, HOLDFAST_AGENT_SOCKET: listener.path } };
}

/** Its agent has said hello and sends figures; the application sees nothing of that. */
async function expectCarried(port: number | null, pid: number | null): Promise<void> {
  const answer = await askTiny(port);
  expect(answer.pid).toBe(pid);
  expect(Object.keys(answer.env).filter((name) => name.startsWith('HOLDFAST'))).toEqual([]);
  expect(answer.env['FROM']).toBe('file');
  const { message } = await waitFor(() => listener.of(answer.pid, 'figures').at(-1), {
    what: `figures of ${answer.pid}`,
  });
  expect(message.rssBytes).toBeGreaterThan(10_000_000);
}

describe.each(['cluster', 'fork'] as const)('in %s mode', (mode) => {
  it('started by pm2, restarted by pm2, added by the supervisor, and again after the daemon died', async () => {
    const file = join(tiny.pm2.home, 'started.config.cjs');
    const app = { name: 'tiny', script: tinyApp, cwd: tiny.pm2.home, ...carrying(mode) };
    writeFileSync(file, `module.exports = ${JSON.stringify({ apps: [app] })}`);
    await tiny.pm2.pm2('start', file);
    const row = async () => (await tiny.pm2.jlist())[0];
    const first = await row();
    await expectCarried(tiny.firstPort, first?.pid ?? null);

    sendSignal(first?.pid ?? 0, 'SIGKILL');
    const second = await waitFor(
      async () => {
        const now = await row();
        return now?.pid !== first?.pid && (now?.pid ?? 0) > 0 ? now : null;
      },
      { what: 'pm2 to restart it' },
    );
    await expectCarried(tiny.firstPort, second.pid);

    const fromFile = tiny.manager(carrying(mode));
    const third = await fromFile.startInstance('tiny');
    await expectCarried(third.port, third.pid);

    // A service that no ecosystem file knows is started as what runs of it.
    const fromRecord = tiny.manager({}, { definitions: () => Promise.resolve([]) });
    await fromRecord.list();
    const fourth = await fromRecord.startInstance('tiny');
    await expectCarried(fourth.port, fourth.pid);

    const pids = [second.pid, third.pid ?? 0, fourth.pid ?? 0];
    sendSignal(tiny.pm2.daemonPid() ?? 0, 'SIGKILL');
    for (const pid of pids) sendSignal(pid, 'SIGKILL');
    await waitFor(() => tiny.pm2.daemonPid() === null && pids.every((pid) => !isAlive(pid)), {
      what: 'all of it to end',
    });
    const anew = tiny.manager(carrying(mode));
    // A thread of the old one may hold its socket for a moment longer: who meets that is reset, and tries again.
    expect(await waitFor(() => anew.ensureDaemon(), { what: 'a new daemon' })).toBe('started');
    const fifth = await waitFor(() => anew.startInstance('tiny'), {
      what: 'a start under the new daemon',
    });
    await expectCarried(fifth.port, fifth.pid);
  });
});
