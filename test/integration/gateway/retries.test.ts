/** What retries cost of the budget: what dead instances take along is saved, a service that fails is not buried. */
import { afterEach, describe, expect, it } from 'vitest';
import { client, gateway, get, ok, tearDown, upstream } from '../../support/gatewayScene.js';
import { poolRow, snapshotOf } from '../../support/gatewayWorker.js';
import { parseAnswers, type RawUpstream } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

afterEach(tearDown);

/** As by default: a fifth of the last ten seconds' requests, at least 3. */
const retryBudget = { share: 0.2, min: 3 };

const requestsAt = (up: RawUpstream): number => up.received.match(/^GET /gm)?.length ?? 0;

async function statusOf(answer: Promise<string>): Promise<number> {
  return parseAnswers(await answer)[0]?.status ?? 0;
}

const ask = (port: number, path = '/'): Promise<number> =>
  statusOf(client(port).send(get(path, 'Connection: close\r\n')).untilEnded(10_000));

describe('several instances that die at once', () => {
  it('take no request along that others can answer, however little traffic there is', async () => {
    const victims = [await upstream(() => undefined), await upstream(() => undefined)];
    const survivors = await Promise.all(
      [0, 1].map(() => upstream(({ socket }) => void setTimeout(() => socket.write(ok('well')), 50))),
    );
    const ports = [...victims, ...survivors].map(({ port }) => port);
    const started = await gateway(ports, {}, { retryBudget });
    // Half of all requests there are: far more than a fifth, and more than 3.
    const answers = Array.from({ length: 16 }, () => ask(started.port));
    await waitFor(() => victims.every((up) => requestsAt(up) === 4), { what: 'four requests at each' });
    await Promise.all(victims.map((up) => up.close()));
    expect(await Promise.all(answers)).toEqual(answers.map(() => 200));
    const retries = started.worker.stats().upstreams.reduce((sum, { counters }) => sum + counters.retries, 0);
    expect(retries).toBeGreaterThanOrEqual(8);
  });

  it('nor when they were all there were, and others come', async () => {
    const only = await upstream(() => undefined);
    const successor = await upstream(({ socket }) => socket.write(ok('new')));
    const started = await gateway([only.port], { holdMs: 5_000 }, { retryBudget });
    const answers = Array.from({ length: 12 }, () => ask(started.port));
    await waitFor(() => requestsAt(only) === 12, { what: 'the requests' });
    await only.close();
    started.worker.swap(snapshotOf(poolRow([successor.port], { retryBudget })));
    expect(await Promise.all(answers)).toEqual(answers.map(() => 200));
  });
});

describe('a service of which every instance fails', () => {
  it.each([
    ['by breaking connections', ({ socket }: { socket: { destroy(): void } }) => socket.destroy()],
    [
      'by saying 503',
      ({ socket }: { socket: { write(text: string): unknown } }) =>
        socket.write('HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n'),
    ],
  ])('%s is not buried under retries', async (_how, fail) => {
    const ups = await Promise.all([0, 1, 2, 3].map(() => upstream(fail)));
    const ports = ups.map(({ port }) => port);
    const ejection = { consecutiveFailures: 0, baseMs: 1, maxMs: 1, minHealthyShare: 1 };
    const started = await gateway(ports, {}, { retryBudget, ejection });
    const [requests, atATime] = [300, 10];
    for (let sent = 0; sent < requests; sent += atATime) {
      const statuses = await Promise.all(Array.from({ length: atATime }, () => ask(started.port)));
      expect(statuses.every((status) => status === 502 || status === 503)).toBe(true);
    }
    const attempts = ups.reduce((sum, up) => sum + requestsAt(up), 0);
    expect(attempts).toBeGreaterThan(requests);
    // A fifth more; and what was on credit in the first moment, when nobody had failed yet: never more than was under way.
    expect(attempts).toBeLessThanOrEqual(requests * 1.2 + atATime);
  });
});

describe('an instance that loses every request, beside one that answers', () => {
  it('costs its requests nothing', async () => {
    const sick = await upstream(({ socket }) => socket.destroy());
    const well = await upstream(({ socket }) => socket.write(ok('well')));
    const ejection = { consecutiveFailures: 0, baseMs: 1, maxMs: 1, minHealthyShare: 1 };
    const started = await gateway([sick.port, well.port], {}, { retryBudget, ejection });
    for (let i = 0; i < 60; i += 1) expect(await ask(started.port)).toBe(200);
    // At least half of them were tried twice: the budget is for retries that fail.
    expect(requestsAt(sick)).toBeGreaterThanOrEqual(30);
    expect(requestsAt(well)).toBe(60);
  });
});
