import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ConsulServer, type CatalogueEntry } from '../../../../test/support/consulServer.js';
import { discoveryContract, Listening } from '../../../../test/support/discoveryContract.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { systemClock } from '../clock.js';
import { ConsulDiscovery } from './consul.js';

const SERVICE = 'shop';

interface Changes {
  readonly token?: string;
  readonly tag?: string;
  readonly datacenter?: string;
  readonly waitMs?: number;
  readonly pauseMs?: number;
}

function openConsul(url: string, changes: Changes = {}): ConsulDiscovery {
  const { token = null, tag = null, datacenter = null, ...pace } = changes;
  return new ConsulDiscovery({
    source: { kind: 'consul', url, service: SERVICE, datacenter, tag, token },
    clock: systemClock,
    // Shortest backoff: a test need not wait for it.
    random: () => 0.01,
    pauseMs: 5,
    ...pace,
  });
}

const entry = (port: number, more: Partial<CatalogueEntry> = {}): CatalogueEntry => ({
  id: `shop-${port}`,
  address: '127.0.0.1',
  port,
  ...more,
});

discoveryContract(async () => {
  const server = await ConsulServer.start();
  return {
    open: () => openConsul(server.url),
    say: (members) => {
      server.failure = null;
      server.register(
        SERVICE,
        members.map(({ port }) => entry(port)),
      );
    },
    fail: () => {
      server.failure = { status: 500, body: 'No cluster leader' };
      server.release();
    },
    asked: () => server.queries.length,
    close: () => server.close(),
  };
});

describe('Consul', () => {
  let server: ConsulServer;
  let sources: Listening[];
  beforeEach(async () => {
    server = await ConsulServer.start();
    sources = [];
  });
  afterEach(async () => {
    for (const { discovery } of sources) await discovery.close();
    await server.close();
  });
  const listen = (changes: Changes = {}): Listening => {
    const source = new Listening(openConsul(server.url, changes));
    sources.push(source);
    return source;
  };
  const lastQuery = (): URLSearchParams => server.queries.at(-1)!.searchParams;
  const waits = (): Promise<unknown> => waitFor(() => server.waiting > 0, { what: 'a query that hangs' });

  it('asks at once, then hangs on the index of the answer', async () => {
    server.register(SERVICE, [entry(1)]);
    await listen({ waitMs: 60_000 }).hears('127.0.0.1:1');
    await waits();
    expect(server.queries).toHaveLength(2);
    expect(server.queries[0]?.searchParams.has('index')).toBe(false);
    expect(Object.fromEntries(lastQuery())).toEqual({
      passing: 'true',
      stale: '',
      index: String(server.index),
      wait: '60000ms',
    });
  });

  it('hears a change at once, not when the wait is over', async () => {
    server.register(SERVICE, [entry(1)]);
    const source = listen();
    await source.hears('127.0.0.1:1');
    await waits();
    server.register(SERVICE, [entry(1), entry(2)]);
    await source.hears('127.0.0.1:1', '127.0.0.1:2');
  });

  it('says nothing when the answer is the same, whether the index moved or the wait ended', async () => {
    server.register(SERVICE, [entry(1)]);
    const source = listen({ waitMs: 20 });
    await source.hears('127.0.0.1:1');
    server.touch();
    await waitFor(() => server.queries.length > 6, { what: 'more queries' });
    expect(source.lists).toHaveLength(1);
    expect(source.problems).toEqual([]);
  });

  it('begins again without an index when it went backwards', async () => {
    server.register(SERVICE, [entry(1)]);
    const source = listen();
    await source.hears('127.0.0.1:1');
    await waits();
    const before = server.queries.length;
    server.restore(3);
    await waitFor(() => server.queries.length >= before + 2, { what: 'the next queries' });
    expect(server.queries[before]?.searchParams.has('index')).toBe(false);
    await waits();
    expect(lastQuery().get('index')).toBe('3');
    server.register(SERVICE, [entry(2)]);
    await source.hears('127.0.0.1:2');
  });

  it.each(['0', '-4', 'x', ''])(
    'takes an index of %j for 1, so that the next query can wait',
    async (sent) => {
      server.indexSent = sent;
      server.register(SERVICE, [entry(1)]);
      await listen().hears('127.0.0.1:1');
      await waitFor(() => server.queries.length >= 2, { what: 'the next query' });
      expect(server.queries[1]?.searchParams.get('index')).toBe('1');
    },
  );

  it('pauses between queries that return at once', async () => {
    server.indexSent = '0';
    server.register(SERVICE, [entry(1)]);
    const startedMs = performance.now();
    listen({ pauseMs: 40 });
    await waitFor(() => server.queries.length >= 5, { what: 'five queries' });
    expect(performance.now() - startedMs).toBeGreaterThan(4 * 35);
  });

  it('does not go by a server that lost its leader or hears nothing of it, once something is known', async () => {
    server.register(SERVICE, [entry(1)]);
    const source = listen();
    await source.hears('127.0.0.1:1');
    server.lastContactMs = 45_000;
    server.register(SERVICE, []);
    await waitFor(() => source.problems.length === 1, { what: 'a problem' });
    expect(source.problems[0]).toBe(
      'Consul: the server that answered has not heard from its leader for 45 s',
    );
    server.lastContactMs = 0;
    server.knownLeader = false;
    await waitFor(() => source.problems.length === 2, { what: 'another problem' });
    expect(source.problems[1]).toBe('Consul: the server that answered knows no leader');
    expect(source.lists).toHaveLength(1);
    server.knownLeader = true;
    await source.hears();
  });

  it('goes by it while nothing is known', async () => {
    server.knownLeader = false;
    server.register(SERVICE, [entry(1)]);
    await listen().hears('127.0.0.1:1');
  });

  it('reads addresses of nodes, weights, IPv6, and leaves out what has no port', async () => {
    server.register(SERVICE, [
      entry(1, { address: '', node: '10.0.0.7', weight: 7 }),
      entry(2, { address: 'fd00::2', weight: 70_000 }),
      entry(3, { weight: 0 }),
      entry(0),
      entry(4, { status: 'critical' }),
      entry(5, { status: 'warning' }),
    ]);
    const source = listen();
    await source.hears('10.0.0.7:1', '127.0.0.1:3', '[fd00::2]:2');
    expect(source.lists[0]?.map(({ weight }) => weight)).toEqual([7, 1, 1000]);
  });

  it.each([
    ['the text of a number', {}, { weight: '7' }, 7],
    ['a number', {}, { weight: 7 }, 7],
    ['a decimal, rounded', {}, { weight: ' 2.6 ' }, 3],
    ['more than there may be', {}, { weight: '70000' }, 1000],
    ['no weights at all beside it', { weight: null }, { weight: '4' }, 4],
    ['beside weights that say something', { weight: 5 }, { weight: '9' }, 5],
    ['zero', {}, { weight: '0' }, 1],
    ['less than one half', {}, { weight: '0.4' }, 1],
    ['negative', {}, { weight: '-3' }, 1],
    ['no number', {}, { weight: 'heavy' }, 1],
    ['empty', {}, { weight: '' }, 1],
    ['hexadecimal', {}, { weight: '0x10' }, 1],
    ['endless', {}, { weight: '1e999' }, 1],
    ['something else', {}, { weight: ['9'] }, 1],
    ['missing', {}, { version: '2' }, 1],
    ['without metadata', {}, null, 1],
    ['in metadata that are none', {}, 'weight', 1],
  ])('takes the weight from Meta.weight: %s', async (_, weights, meta, expected) => {
    server.register(SERVICE, [entry(1, { ...weights, meta })]);
    const source = listen();
    await source.hears('127.0.0.1:1');
    expect(source.lists[0]?.[0]?.weight).toBe(expected);
  });

  it('passes tag, datacenter and token on', async () => {
    server.token = 'let me in';
    server.register(SERVICE, [entry(1, { tags: ['v2'] }), entry(2)]);
    const source = listen({ token: 'let me in', tag: 'v2', datacenter: 'dc9' });
    await source.hears('127.0.0.1:1');
    expect(lastQuery().get('dc')).toBe('dc9');
  });

  it('says what to do about a refused token, without saying the token', async () => {
    server.token = 'let me in';
    const problem = await listen({ token: 'wrong one' }).hearsProblem();
    expect(problem).toContain('refuses the token (403); see consulToken');
    expect(problem).not.toContain('wrong one');
  });

  it('hands an empty list on, with a remark', async () => {
    server.register(SERVICE, [entry(1, { status: 'critical' })]);
    const source = listen();
    await source.hears();
    expect(await source.hearsProblem()).toBe('Consul: no instance of shop passes its checks');
  });

  it.each([
    [200, '{"not":"a list"}', 'the answer is not a list of service entries'],
    [200, '[{"Service":{}}]', 'the answer is not a list of service entries'],
    [200, '<html>', 'is no JSON'],
    [502, 'bad gateway', 'answered 502'],
  ])('says what is wrong with an answer: %i %s', async (status, body, problem) => {
    server.failure = { status, body };
    expect(await listen().hearsProblem()).toContain(problem);
  });

  it('says that nothing listens', async () => {
    const { url } = server;
    await server.close();
    const source = new Listening(openConsul(url));
    sources.push(source);
    expect(await source.hearsProblem()).toBe(`Consul: nothing listens at ${new URL(url).host}`);
    server = await ConsulServer.start();
  });

  it('lets go of a query that hangs when it is closed', async () => {
    server.register(SERVICE, [entry(1)]);
    const source = listen();
    await source.hears('127.0.0.1:1');
    await waits();
    await source.discovery.close();
    await waitFor(() => server.waiting === 0, { what: 'the query to be gone' });
  });
});
