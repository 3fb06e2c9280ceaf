/** Moments that the real API does not show at will; see also test/integration/gateway/supervisorDiscovery.test.ts. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Listening } from '../../../../test/support/discoveryContract.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { systemClock } from '../clock.js';
import { SupervisorDiscovery, type SupervisorOptions } from './supervisor.js';

let server: Server;
let streams: ServerResponse[];
let questions: ServerResponse[];
let sources: Listening[];
let streamsRefused: boolean;
/** Ports that serve; null: status requests are kept, for the test to answer. */
let serving: readonly number[] | null;

function statusOf(ports: readonly number[], daemonState = 'connected'): string {
  const fitness = { kind: 'fit' };
  const instances = ports.map((port) => ({ pid: port, port, serving: true, draining: false, fitness }));
  const daemon = { state: daemonState, problem: null };
  return JSON.stringify({ success: true, data: { daemon, services: [{ name: 'shop', instances }] } });
}

beforeEach(async () => {
  [streams, questions, sources, serving, streamsRefused] = [[], [], [], [1, 2], false];
  server = createServer((request, response) => {
    if (request.url?.startsWith('/api/ha/stream') === true) {
      if (streamsRefused) {
        response.writeHead(503).end('{}');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('retry: 2000\n\n');
      streams.push(response);
    } else if (serving === null) {
      questions.push(response);
    } else {
      response.end(statusOf(serving));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  for (const { discovery } of sources) await discovery.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function listen(changes: Partial<SupervisorOptions> = {}): Listening {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clock = systemClock;
  const source = new Listening(
    new SupervisorDiscovery({
      supervisor: { url, token: null, local: null },
      ...{ service: 'shop', clock, random: () => 0.05, ...changes },
    }),
  );
  sources.push(source);
  return source;
}

function emit(type: string, port: number): void {
  const event = {
    seq: 1,
    type,
    at: new Date().toISOString(),
    service: 'shop',
    data: { service: 'shop', instance: { pmId: port, pid: 1, port } },
  };
  streams.at(-1)?.write(`event: ${type}\nid: 1-1\ndata: ${JSON.stringify(event)}\n\n`);
}

const asked = (count: number): Promise<unknown> =>
  waitFor(() => questions.length === count, { what: `${count} questions` });

describe('SupervisorDiscovery', () => {
  it('does not let an answer that was asked for before a withdrawal bring the instance back', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = null;
    emit('instance.started', 3);
    await asked(1);
    emit('instance.withdrawn', 1);
    await source.hears('127.0.0.1:2');
    questions[0]?.end(statusOf([1, 2, 3]));
    await source.hears('127.0.0.1:2', '127.0.0.1:3');
    await asked(2);
    questions[1]?.end(statusOf([1, 3]));
    await source.hears('127.0.0.1:1', '127.0.0.1:3');
  });

  it('tells of a process that ended, after the list without it', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = [2];
    emit('instance.withdrawn', 1);
    await source.hears('127.0.0.1:2');
    expect(source.gone).toEqual([]);
    serving = [];
    emit('instance.exited', 2);
    await waitFor(() => source.gone.length > 0, { what: 'the end of a process' });
    expect(source.gone).toEqual(['127.0.0.1:2']);
    expect(source.lists.some((list) => list.every(({ port }) => port !== 2))).toBe(true);
  });

  it('tells of a process that stops while its successor has the port, and keeps the list', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    emit('instance.superseded', 2);
    await waitFor(() => source.superseded.length > 0, { what: 'the word of it' });
    expect(source.superseded).toEqual(['127.0.0.1:2']);
    expect(source.gone).toEqual([]);
    expect(source.lists.every((list) => list.length === 2)).toBe(true);
  });

  it('keeps whom it knows while a supervisor that was restarted has not judged them', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = null;
    emit('config.reloaded', 0);
    await asked(1);
    const unjudged = (port: number, draining: boolean): unknown => ({
      pid: port,
      port,
      serving: false,
      draining,
      fitness: { kind: 'starting' },
    });
    // 1 is known and was not looked at yet; 2 is on its way out; 3 is new.
    const instances = [unjudged(1, false), unjudged(2, true), unjudged(3, false)];
    const daemon = { state: 'connected', problem: null };
    questions[0]?.end(JSON.stringify({ data: { daemon, services: [{ name: 'shop', instances }] } }));
    await source.hears('127.0.0.1:1');
  });

  it('names those that serve without having passed as unverified, and so again after a restart of the supervisor', async () => {
    serving = null;
    const source = listen();
    await asked(1);
    const answer = (...kinds: readonly string[]): void => {
      const daemon = { state: 'connected', problem: null };
      const instances = kinds.map((kind, index) => {
        const port = index + 1;
        const isServing = kind !== 'starting';
        return { pid: port, port, serving: isServing, draining: false, fitness: { kind } };
      });
      questions.at(-1)?.end(JSON.stringify({ data: { daemon, services: [{ name: 'shop', instances }] } }));
    };
    answer('unverified', 'fit');
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    expect(source.lists.at(-1)?.map(({ unverified }) => unverified)).toEqual([true, undefined]);
    emit('instance.started', 3);
    await asked(2);
    answer('starting', 'starting', 'starting');
    emit('instance.started', 3);
    await asked(3);
    answer('fit', 'fit');
    await waitFor(() => source.lists.at(-1)?.every((one) => one.unverified === undefined), {
      what: 'a pass',
    });
    expect(source.ids).toEqual(['127.0.0.1:1', '127.0.0.1:2']);
    expect(source.lists.some((list) => list.length < 2)).toBe(false);
  });

  it('names those that live when nobody serves, as doubtful, and nobody else once somebody does', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = null;
    emit('instance.withdrawn', 1);
    await asked(1);
    const unfit = (port: number, changes: object = {}): object => ({
      ...{ pid: port, port, serving: false, draining: false, fitness: { kind: 'unfit' } },
      ...changes,
    });
    const dead = unfit(3, { pid: null });
    const answer = (instances: readonly object[]): void => {
      const daemon = { state: 'connected', problem: null };
      questions.at(-1)?.end(JSON.stringify({ data: { daemon, services: [{ name: 'shop', instances }] } }));
    };
    const young = unfit(5, { fitness: { kind: 'starting' } });
    const late = unfit(6, { fitness: { kind: 'unfit', cause: 'not-ready' } });
    answer([unfit(1), unfit(2), dead, unfit(4, { draining: true }), young, late]);
    await waitFor(() => source.lists.at(-1)?.every(({ doubtful }) => doubtful === true), { what: 'doubt' });
    expect(source.ids).toEqual(['127.0.0.1:1', '127.0.0.1:2']);
    emit('instance.serving', 2);
    await asked(2);
    answer([unfit(1), unfit(2, { serving: true })]);
    await source.hears('127.0.0.1:2');
    expect(source.lists.at(-1)?.[0]?.doubtful).toBeUndefined();
  });

  it('names an instance by the address at which it listens, also when it has ended', async () => {
    serving = null;
    const source = listen();
    await asked(1);
    const fitness = { kind: 'fit' };
    const row = { pid: 1, port: 1, host: '::1', serving: true, draining: false, fitness };
    const daemon = { state: 'connected', problem: null };
    questions[0]?.end(JSON.stringify({ data: { daemon, services: [{ name: 'shop', instances: [row] }] } }));
    await source.hears('[::1]:1');
    emit('instance.exited', 1);
    await waitFor(() => source.gone.length > 0, { what: 'the end of a process' });
    expect(source.gone).toEqual(['[::1]:1']);
  });

  it('says what the supervisor has found out, and what is wrong with those that take no traffic', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    expect(source.notes).toEqual([{ reason: null, faults: new Map() }]);
    serving = null;
    const row = (port: number, changes: object = {}): object => ({
      ...{ pid: port, port, serving: true, draining: false, fitness: { kind: 'fit' } },
      ...changes,
    });
    const hung = { serving: false, fitness: { kind: 'unfit', cause: 'hung', detail: 'silent for 2 s' } };
    const answer = (instances: readonly object[], diagnosis: object | null): void => {
      const daemon = { state: 'connected', problem: null };
      const services = [{ name: 'shop', instances, diagnosis }];
      questions.at(-1)?.end(JSON.stringify({ data: { daemon, services } }));
    };
    emit('instance.hung', 2);
    await asked(1);
    answer([row(1), row(2, hung)], null);
    await source.hears('127.0.0.1:1');
    expect(source.notes.at(-1)).toEqual({
      reason: null,
      faults: new Map([['127.0.0.1:2', 'hung: silent for 2 s']]),
    });
    emit('service.diagnosed', 0);
    await asked(2);
    answer([row(1), row(2, hung)], { what: 'Nothing listens.', advice: 'Start it.' });
    await waitFor(() => source.notes.at(-1)?.reason === 'Nothing listens. Start it.', { what: 'a reason' });
    const heard = source.lists.length;
    emit('instance.withdrawn', 1);
    await source.hears();
    expect(source.lists).toHaveLength(heard + 1);
    expect(source.notes.at(-1)?.reason).toBe('Nothing listens. Start it.');
  });

  it('believes no list of a supervisor that has lost PM2', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = null;
    emit('daemon.lost', 0);
    await asked(1);
    questions[0]?.end(statusOf([], 'lost'));
    expect(await source.hearsProblem()).toContain('PM2 is lost');
    expect(source.ids).toEqual(['127.0.0.1:1', '127.0.0.1:2']);
  });

  it('asks once for many events, and once more for those that came meanwhile', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = null;
    for (let event = 0; event < 50; event += 1) emit('instance.started', 3);
    await asked(1);
    for (let event = 0; event < 50; event += 1) emit('instance.started', 3);
    serving = [1, 2, 3];
    questions[0]?.end(statusOf([1, 2]));
    await source.hears('127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3');
    expect(questions).toHaveLength(1);
  });

  it('looks again after a gap in the stream, and from time to time without being told', async () => {
    const source = listen({ resyncMs: 20 });
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    serving = [7];
    await source.hears('127.0.0.1:7');
    const other = listen({ resyncMs: 3_600_000 });
    await other.hears('127.0.0.1:7');
    serving = [8];
    streams.at(-1)?.write('event: stream.gap\ndata: {}\n\n');
    await other.hears('127.0.0.1:8');
  });

  it('gives up a stream that is silent, keeps the list, and finds back', async () => {
    const source = listen({ silenceMs: 50 });
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    expect(await source.hearsProblem()).toMatch(/^supervisor: it has been silent for/);
    expect(source.lists).toHaveLength(1);
    await waitFor(() => streams.length > 1 && source.lists.length > 1, { what: 'another stream' });
    expect(streams[0]?.destroyed || streams[0]?.closed).toBe(true);
  });

  it('is polled while its stream is refused, says so once, learns of a failover, and follows again later', async () => {
    streamsRefused = true;
    const source = listen({ pollMs: 20 });
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    await waitFor(() => source.notes.at(-1)?.polling === 'it answered 503', { what: 'the word of it' });
    const heard = source.lists.length;
    serving = [3];
    await source.hears('127.0.0.1:3');
    expect(source.lists).toHaveLength(heard + 1);
    expect(source.problems).toEqual(['supervisor: it answered 503']);
    streamsRefused = false;
    await waitFor(() => streams.length === 1, { what: 'a stream' });
    await waitFor(() => source.notes.at(-1)?.polling === undefined, { what: 'the end of polling' });
    expect(source.ids).toEqual(['127.0.0.1:3']);
    expect(source.problems).toHaveLength(1);
  });

  it('is polled after its stream broke off and while no new one opens', async () => {
    const source = listen({ pollMs: 20 });
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    streamsRefused = true;
    streams[0]?.destroy();
    serving = [4];
    await source.hears('127.0.0.1:4');
    await waitFor(() => source.notes.at(-1)?.polling !== undefined, { what: 'the word of it' });
  });

  it('takes heartbeats for a sign of life', async () => {
    const source = listen({ silenceMs: 250 });
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    const startedMs = performance.now();
    await waitFor(
      () => {
        streams.at(-1)?.write(': still here\n\n');
        return performance.now() - startedMs > 1_000;
      },
      { what: 'a second of heartbeats' },
    );
    expect(source.problems).toEqual([]);
    expect(streams).toHaveLength(1);
  });

  it('survives a stream of garbage and an answer that is no status', async () => {
    const source = listen();
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
    streams
      .at(-1)
      ?.write('event: instance.withdrawn\ndata: {"data":7}\n\nevent: instance.withdrawn\ndata: no json\n\n');
    serving = null;
    emit('instance.started', 1);
    await waitFor(() => questions.length > 0, { what: 'a question' });
    for (const question of questions) question.end('{"success":true}');
    expect(await source.hearsProblem()).toContain('something else than a status');
    streams.at(-1)?.write('x'.repeat(300_000));
    await waitFor(() => source.problems.some((text) => text.includes('line without an end')), {
      what: 'the complaint',
    });
    expect(source.lists).toHaveLength(1);
    serving = [9];
    await source.hears('127.0.0.1:9');
  });
});
