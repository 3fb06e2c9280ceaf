/** When the wait for services ends, and what is said meanwhile. */
import { expect, it } from 'vitest';
import type { Diagnosis } from '../domain/diagnosis/facts.js';
import type { ServiceState, ServiceView } from '../domain/views/serviceView.js';
import { awaitHealthy } from './awaitHealthy.js';
import type { CliContext } from './context.js';
import { Terminal } from './terminal.js';

const diagnosis = (code: Diagnosis['code'], settled: boolean): Diagnosis => ({
  code,
  service: 'api',
  instance: { pmId: 0, pid: 1, port: 14_000 },
  what: `api#0: ${code}.`,
  advice: 'Do this.',
  settled,
  log: { path: '/logs/api.log', lines: ['boom'] },
});

const service = (name: string, state: ServiceState, found: Diagnosis | null = null): ServiceView => ({
  name,
  state,
  desired: 1,
  serving: state === 'healthy' ? 1 : 0,
  min: 1,
  max: 1,
  reason: '',
  diagnosis: found,
  unprovenFiles: null,
  startWarnings: [],
  warnings: [],
  operation: null,
  instances: [],
});

/** Waits with a supervisor that says this, one answer after the other and the last for ever. */
async function wait(timeoutMs: number, ...answers: (readonly ServiceView[])[]) {
  const printed: string[] = [];
  const stream = { write: (text: string) => printed.push(text) };
  let asked = 0;
  const api = {
    get: () => Promise.resolve({ data: { services: answers[Math.min(asked++, answers.length - 1)] } }),
  };
  const context = { api, terminal: new Terminal(stream, stream, {}) } as unknown as CliContext;
  const { status, waitedMs } = await awaitHealthy(context, timeoutMs);
  return { states: status.services.map(({ state }) => state), waitedMs, printed: printed.join('') };
}

it('ends when everything is healthy', async () => {
  const { states } = await wait(60_000, [], [service('api', 'unhealthy')], [service('api', 'healthy')]);
  expect(states).toEqual(['healthy']);
});

it('ends early when no time can help, and has said why, once', async () => {
  const settled = diagnosis('wrong-port', true);
  const { states, printed, waitedMs } = await wait(
    60_000,
    [service('api', 'unhealthy', diagnosis('wrong-port', false)), service('web', 'healthy')],
    [service('api', 'unhealthy', settled), service('web', 'healthy')],
  );
  expect(states).toEqual(['unhealthy', 'healthy']);
  expect(waitedMs).toBeLessThan(10_000);
  expect(printed.match(/wrong-port/g)).toHaveLength(1);
  expect(printed).toContain(
    ['✗ api#0: wrong-port.', '  Do this.', '  The end of /logs/api.log:', '    boom', ''].join('\n'),
  );
});

it.each<[what: string, last: readonly ServiceView[]]>([
  ['a diagnosis that time may change', [service('api', 'unhealthy', diagnosis('not-listening', false))]],
  ['a service without a diagnosis', [service('api', 'unhealthy')]],
  [
    'one of two that may still come',
    [service('a', 'unhealthy', diagnosis('crashed', true)), service('b', 'unhealthy')],
  ],
  ['no service at all', []],
])('goes on waiting with %s', async (_what, last) => {
  const { waitedMs } = await wait(1_800, last);
  expect(waitedMs).toBeGreaterThan(1_800);
});

it('says what is found later, too', async () => {
  const { printed } = await wait(
    60_000,
    [service('api', 'unhealthy', diagnosis('not-listening', false))],
    [service('api', 'unhealthy', diagnosis('crashed', true))],
  );
  expect(printed).toMatch(/not-listening[^]*crashed/);
});
