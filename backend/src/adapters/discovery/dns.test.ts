import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { DnsServer, type DnsRecord } from '../../../../test/support/dnsServer.js';
import { discoveryContract, Listening } from '../../../../test/support/discoveryContract.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { systemClock } from '../clock.js';
import { DnsDiscovery } from './dns.js';

const NAME = 'shop.test';
const SERVICE = '_http._tcp.shop.test';
const a = (address: string): DnsRecord => ({ type: 'A', address });
const aaaa = (address: string): DnsRecord => ({ type: 'AAAA', address });
const srv = (target: string, port: number, weight = 1, priority = 10): DnsRecord => ({
  type: 'SRV',
  priority,
  weight,
  port,
  target,
});

function openDns(server: DnsServer, name: string, port: number | null): DnsDiscovery {
  return new DnsDiscovery({
    source: { kind: 'dns', name, port, intervalMs: 30, servers: [server.address] },
    clock: systemClock,
    random: Math.random,
    timeoutMs: 150,
  });
}

describe('by address', () => {
  discoveryContract(
    async () => {
      const server = await DnsServer.start();
      return {
        open: () => openDns(server, NAME, 8080),
        say: (members) => {
          server.behaveAll('answer');
          server.zone.set(
            NAME,
            members.map(({ host }) => a(host)),
          );
        },
        fail: () => server.behaveAll('servfail'),
        asked: () => server.questions.length / 2,
        close: () => server.close(),
      };
    },
    { a: 8080, b: 8080 },
  );
});

describe('by service', () => {
  discoveryContract(async () => {
    const server = await DnsServer.start();
    return {
      open: () => openDns(server, SERVICE, null),
      say: (members) => {
        server.behaveAll('answer');
        server.zone.set('one.test', [a('127.0.0.1')]);
        server.zone.set(
          SERVICE,
          members.map(({ port }) => srv('one.test', port)),
        );
      },
      fail: () => server.behaveAll('servfail'),
      asked: () => server.questions.filter((question) => question.startsWith('SRV')).length,
      close: () => server.close(),
    };
  });
});

describe('DNS', () => {
  let server: DnsServer;
  let sources: Listening[];
  beforeEach(async () => {
    server = await DnsServer.start();
    sources = [];
  });
  afterEach(async () => {
    for (const { discovery } of sources) await discovery.close();
    await server.close();
  });
  const listen = (name = NAME, port: number | null = 80): Listening => {
    const source = new Listening(openDns(server, name, port));
    sources.push(source);
    return source;
  };
  const askedAgain = async (): Promise<void> => {
    const before = server.questions.length;
    await waitFor(() => server.questions.length >= before + 6, { what: 'more questions' });
  };

  it('takes both families, and either alone', async () => {
    server.zone.set(NAME, [a('10.0.0.1'), aaaa('fd00:0:0:0:0:0:0:1')]);
    const source = listen();
    await source.hears('10.0.0.1:80', '[fd00::1]:80');
    server.zone.set(NAME, [aaaa('fd00:0:0:0:0:0:0:1')]);
    await source.hears('[fd00::1]:80');
    server.zone.set(NAME, [a('10.0.0.2')]);
    await source.hears('10.0.0.2:80');
    expect(source.problems).toEqual([]);
  });

  it('keeps the last addresses when the name is gone, empty, or nobody answers, and says why', async () => {
    server.zone.set(NAME, [a('10.0.0.1')]);
    const source = listen();
    await source.hears('10.0.0.1:80');
    server.zone.delete(NAME);
    await waitFor(() => source.problems.at(-1) === `DNS: ${NAME} has no addresses`, {
      what: 'NXDOMAIN to be said',
    });
    server.zone.set(NAME, [a('10.0.0.1')]);
    await waitFor(() => source.lists.length === 2, { what: 'recovery' });
    server.behaveAll('silent');
    await waitFor(() => source.problems.at(-1) === `DNS: no server answers for ${NAME}`, {
      what: 'the time-out',
    });
    expect(source.ids).toEqual(['10.0.0.1:80']);
    server.behaveAll('answer');
    server.zone.set(NAME, [a('10.0.0.3')]);
    await source.hears('10.0.0.3:80');
  });

  it('does not let a family that fails spoil the other, nor forget it', async () => {
    server.behaviour.AAAA = 'servfail';
    server.zone.set(NAME, [a('10.0.0.1'), aaaa('fd00:0:0:0:0:0:0:1')]);
    const source = listen();
    await source.hears('10.0.0.1:80');
    server.behaviour.AAAA = 'answer';
    await source.hears('10.0.0.1:80', '[fd00::1]:80');
    server.behaviour.AAAA = 'servfail';
    server.zone.set(NAME, [a('10.0.0.2'), aaaa('fd00:0:0:0:0:0:0:1')]);
    await source.hears('10.0.0.2:80', '[fd00::1]:80');
    // What is left of an old answer alone is not taken for one.
    server.zone.set(NAME, []);
    expect(await source.hearsProblem()).toContain('SERVFAIL');
    expect(source.ids).toEqual(['10.0.0.2:80', '[fd00::1]:80']);
  });

  it('reads an answer that is too long for UDP over TCP', async () => {
    const addresses = Array.from({ length: 100 }, (_, index) => `10.0.1.${index}`);
    server.zone.set(NAME, addresses.map(a));
    const source = listen();
    await waitFor(() => source.ids?.length === 100, { what: '100 upstreams' });
    expect(server.tcpQuestions).toBeGreaterThan(0);
  });

  it('uses the SRV targets of the lowest priority, with their weights', async () => {
    server.zone.set('a.test', [a('10.0.0.1')]);
    server.zone.set('b.test', [a('10.0.0.2'), a('10.0.0.3')]);
    server.zone.set('c.test', [a('10.0.0.9')]);
    server.zone.set(SERVICE, [srv('a.test', 81, 60), srv('b.test', 82, 0), srv('c.test', 83, 5, 20)]);
    const source = listen(SERVICE, null);
    await source.hears('10.0.0.1:81', '10.0.0.2:82', '10.0.0.3:82');
    expect(source.lists.at(-1)?.map(({ weight }) => weight)).toEqual([60, 1, 1]);
    server.zone.set(SERVICE, [srv('a.test', 81, 60_000), srv('b.test', 82, 30_000)]);
    await waitFor(() => source.lists.at(-1)?.[0]?.weight === 1000, { what: 'scaled weights' });
    expect(source.lists.at(-1)?.map(({ weight }) => weight)).toEqual([1000, 500, 500]);
    // 0 is "a very small chance" (RFC 2782), whatever the others are.
    for (const [others, expected] of [
      [
        [1, 0],
        [50, 1, 1],
      ],
      [
        [20, 0],
        [60, 1, 1],
      ],
      [
        [0, 0],
        [1, 1, 1],
      ],
      [
        [60_000, 0],
        [1000, 1, 1],
      ],
    ] as const) {
      server.zone.set(SERVICE, [srv('a.test', 81, others[0]), srv('b.test', 82, others[1])]);
      const weights = (): unknown => JSON.stringify(source.lists.at(-1)?.map(({ weight }) => weight));
      await waitFor(() => weights() === JSON.stringify(expected), {
        what: `weights ${others.join(' and ')}`,
      });
    }
    server.zone.set(SERVICE, [srv('c.test', 83, 5, 20)]);
    await source.hears('10.0.0.9:83');
  });

  it('keeps the addresses of a target that cannot be looked up, and goes on with the others', async () => {
    server.zone.set('a.test', [a('10.0.0.1')]);
    server.zone.set('b.test', [a('10.0.0.2')]);
    server.zone.set(SERVICE, [srv('a.test', 81)]);
    const source = listen(SERVICE, null);
    await source.hears('10.0.0.1:81');
    server.behaviour.A = 'servfail';
    server.behaviour.AAAA = 'servfail';
    server.zone.set(SERVICE, [srv('a.test', 90), srv('b.test', 82)]);
    await source.hears('10.0.0.1:90');
    server.behaveAll('answer');
    await source.hears('10.0.0.1:90', '10.0.0.2:82');
  });

  it('asks no more after it was closed', async () => {
    server.zone.set(NAME, [a('10.0.0.1')]);
    const closed = listen();
    await closed.hears('10.0.0.1:80');
    await closed.discovery.close();
    server.zone.set('other.test', [a('10.0.0.1')]);
    const before = server.questions.filter((question) => question.endsWith(NAME)).length;
    await listen('other.test').hears('10.0.0.1:80');
    await askedAgain();
    expect(server.questions.filter((question) => question.endsWith(NAME)).length).toBeLessThanOrEqual(
      before + 2,
    );
  });
});
