import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { EventRecord } from '../../domain/events.js';
import type { InstanceView, ServiceView } from '../../domain/views/serviceView.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { ApiClient } from '../apiClient.js';
import type { TrafficFigures } from './load.js';
import { Traffic } from './traffic.js';

const servers: Server[] = [];
let traffic: Traffic | undefined;

afterEach(async () => {
  await traffic?.stop();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A supervisor that announces what the test tells it to. */
async function announcer() {
  let send: (event: unknown) => void = () => undefined;
  const port = await listen(
    createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      send = (event) => void response.write(`data: ${JSON.stringify(event)}\n\n`);
    }),
  );
  const tell = (type: EventRecord['type'], pmId: number, instancePort: number, service = 'shop'): void => {
    send({ seq: 1, type, service, data: { service, instance: { pmId, pid: 1, port: instancePort } } });
  };
  return { client: new ApiClient({ url: `http://127.0.0.1:${port}`, token: null, local: null }), tell };
}

const serviceWith = (...ports: readonly number[]): ServiceView =>
  ({
    instances: ports.map((port, pmId) => ({ pmId, port, serving: true }) as InstanceView),
  }) as unknown as ServiceView;

async function begin(client: ApiClient, service: ServiceView): Promise<Traffic> {
  traffic = new Traffic({ service: 'shop', path: '/', slowPath: null });
  await traffic.start(
    client,
    () => Promise.resolve(service),
    () => undefined,
  );
  return traffic;
}

/** Adds up what `take` returns until `condition` holds. */
async function until(
  running: Traffic,
  what: string,
  condition: (sum: TrafficFigures) => boolean,
): Promise<TrafficFigures> {
  const zero: TrafficFigures = {
    answered: 0,
    lost: 0,
    losses: [],
    lostOnVictims: 0,
    withheld: 0,
    nobodyServedMs: 0,
    slowestMs: 0,
  };
  let sum = zero;
  await waitFor(
    () => {
      const part = running.take();
      sum = {
        answered: sum.answered + part.answered,
        lost: sum.lost + part.lost,
        losses: [...sum.losses, ...part.losses],
        lostOnVictims: sum.lostOnVictims + part.lostOnVictims,
        withheld: sum.withheld + part.withheld,
        nobodyServedMs: sum.nobodyServedMs + part.nobodyServedMs,
        slowestMs: Math.max(sum.slowestMs, part.slowestMs),
      };
      return condition(sum);
    },
    { what },
  );
  return sum;
}

describe('Traffic', () => {
  it('reaches every instance that serves, and loses nothing', async () => {
    const hits = [0, 0];
    const ports = await Promise.all(
      hits.map((_, index) =>
        listen(
          createServer((_request, response) => {
            hits[index]! += 1;
            response.end('ok');
          }),
        ),
      ),
    );
    const { client } = await announcer();
    const running = await begin(client, serviceWith(...ports));
    const { lost } = await until(running, '20 answers', ({ answered }) => answered >= 20);
    expect(lost).toBe(0);
    expect(Math.min(...hits)).toBeGreaterThanOrEqual(9);
  });

  it('follows the announcements: withdrawn gets nothing more, serving gets its share', async () => {
    const hits = { first: 0, second: 0 };
    const count = (name: keyof typeof hits) =>
      createServer((_request, response) => {
        hits[name] += 1;
        response.end();
      });
    const [first, second] = [await listen(count('first')), await listen(count('second'))];
    const { client, tell } = await announcer();
    const running = await begin(client, serviceWith(first));
    await until(running, 'answers of the first', ({ answered }) => answered >= 3);
    tell('instance.serving', 7, second);
    tell('instance.serving', 8, 1, 'another-service');
    await waitFor(() => hits.second >= 3, { what: 'requests on the second' });
    tell('instance.withdrawn', 0, first);
    // Its last one may have been on the way when the announcement came.
    let seen = -1;
    await waitFor(
      () => {
        const still = seen === hits.first;
        seen = hits.first;
        return still;
      },
      { what: 'requests on the first to end', intervalMs: 100 },
    );
    const before = hits.second;
    await waitFor(() => hits.second >= before + 5, { what: 'more requests on the second' });
    expect(hits.first).toBe(seen);
    expect(running.take().lost).toBe(0);
  });

  it('counts what fails as lost, with the instance and the reason', async () => {
    const broken = await listen(createServer((request) => request.socket.destroy()));
    const { client } = await announcer();
    const running = await begin(client, serviceWith(broken));
    const { losses, answered } = await until(running, '3 losses', ({ lost }) => lost >= 3);
    expect(answered).toBe(0);
    expect(losses[0]).toContain(`#0 (port ${broken})`);
  });

  it('counts HTTP 5xx and an answer that breaks off as lost', async () => {
    const failing = await listen(createServer((_request, response) => void response.writeHead(503).end()));
    const cut = await listen(
      createServer((request, response) => {
        response.writeHead(200, { 'content-length': 10 });
        response.write('12345', () => request.socket.destroy());
      }),
    );
    const { client } = await announcer();
    const running = await begin(client, serviceWith(failing, cut));
    const { losses } = await until(running, '4 losses', ({ lost }) => lost >= 4);
    expect(losses.some((loss) => loss.includes('HTTP 503'))).toBe(true);
    expect(losses.some((loss) => loss.includes(`port ${cut}`))).toBe(true);
  });

  it('sets apart what fails on an instance the test itself disturbs, until it is announced anew', async () => {
    const broken = await listen(createServer((request) => request.socket.destroy()));
    const { client, tell } = await announcer();
    const running = await begin(client, serviceWith(broken));
    running.condemn(0);
    const { lost } = await until(running, 'losses on the victim', ({ lostOnVictims }) => lostOnVictims >= 3);
    expect(lost).toBe(0);
    tell('instance.serving', 0, broken);
    await until(running, 'losses that count', (sum) => sum.lost >= 1);
  });

  it('measures the time in which nothing is announced', async () => {
    const { client } = await announcer();
    const running = await begin(client, serviceWith());
    const { answered, lost } = await until(running, 'a gap', ({ nobodyServedMs }) => nobodyServedMs >= 50);
    expect([answered, lost]).toEqual([0, 0]);
  });

  it('says so when the announcements end', async () => {
    const port = await listen(
      createServer((_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(': bye\n\n');
      }),
    );
    traffic = new Traffic({ service: 'shop', path: '/', slowPath: null });
    const problems: string[] = [];
    await traffic.start(
      new ApiClient({ url: `http://127.0.0.1:${port}`, token: null, local: null }),
      () => Promise.resolve(serviceWith()),
      (problem) => problems.push(problem),
    );
    await waitFor(() => problems.length > 0, { what: 'the news' });
    expect(problems).toEqual(['the stream of events ended']);
  });
});
