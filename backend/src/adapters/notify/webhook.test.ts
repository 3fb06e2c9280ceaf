import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { EventRecord } from '../../domain/events.js';
import type { Clock, Logger } from '../../ports.js';
import { systemClock } from '../clock.js';
import { WebhookNotifier, type WebhookOptions } from './webhook.js';

interface Received {
  readonly text: string;
  readonly severity: string;
  readonly event: EventRecord;
  readonly suppressed: number;
}

let received: Received[];
let logged: string[];
let server: Server;
let answer: (response: ServerResponse, request: IncomingMessage) => void;
let arrived: () => void;
let notifiers: WebhookNotifier[];

beforeEach(async () => {
  received = [];
  logged = [];
  notifiers = [];
  arrived = () => undefined;
  answer = (response) => response.writeHead(200).end('ok');
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push(JSON.parse(body) as Received);
      arrived();
      answer(response, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await Promise.all(notifiers.map((notifier) => notifier.close()));
});

const note = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
  logged.push(`${message} ${JSON.stringify(fields)}`);
};
const logger: Logger = { debug: note, info: note, warn: note, error: note };

function createNotifier(options: Partial<WebhookOptions> = {}): WebhookNotifier {
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/hooks/T0PSECRET`;
  const notifier = new WebhookNotifier({ url, logger, clock: systemClock, backoffBaseMs: 1, ...options });
  notifiers.push(notifier);
  return notifier;
}

/** Resolves when `count` requests have come in. */
async function requests(count: number): Promise<void> {
  while (received.length < count) {
    await new Promise<void>((resolve) => {
      arrived = resolve;
    });
  }
}

let seq = 0;
function quarantined(service = 'shop'): EventRecord {
  seq += 1;
  const data = { service, reason: 'three crashes in a minute', nextTrialMs: 60_000 };
  return { seq, type: 'service.quarantined', at: new Date(0).toISOString(), service, data };
}
const recovered: EventRecord = {
  seq: 0,
  type: 'service.recovered',
  at: new Date(0).toISOString(),
  service: 'shop',
  data: { service: 'shop', afterMs: 900 },
};

describe('WebhookNotifier', () => {
  it('posts warnings, errors and recoveries, and nothing else', async () => {
    const notifier = createNotifier();
    const event = quarantined();
    notifier.notify(event);
    notifier.notify({ ...recovered, type: 'management.started', data: { by: 'x' } });
    notifier.notify(recovered);
    await notifier.close();
    expect(received).toMatchObject([
      {
        severity: 'error',
        event,
        suppressed: 0,
        text: expect.stringMatching(/^\[error\] service\.quarantined on /),
      },
      { severity: 'info', event: recovered },
    ]);
    expect(received[0]?.text).toContain('three crashes in a minute');
    expect(notifier.dropped()).toBe(0);
    expect(logged).toEqual([]);
  });

  it('tries again when the receiver is in trouble', async () => {
    const statuses = [500, 429, 204];
    answer = (response) => response.writeHead(statuses.shift() ?? 200).end();
    const notifier = createNotifier();
    notifier.notify(quarantined());
    await notifier.close();
    expect(received).toHaveLength(3);
    expect(notifier.dropped()).toBe(0);
  });

  it('gives up after three tries, logs an outage once and its end once, and never the whole URL', async () => {
    answer = (response) => response.writeHead(503).end();
    const notifier = createNotifier();
    for (const service of ['a', 'b', 'c']) notifier.notify(quarantined(service));
    await requests(9);
    answer = (response) => response.writeHead(200).end();
    notifier.notify(quarantined('d'));
    await notifier.close();

    expect(received.map(({ event }) => event.service).join('')).toBe('aaabbbcccd');
    expect(notifier.dropped()).toBe(3);
    expect(logged).toEqual([
      expect.stringMatching(/could not be delivered.*HTTP 503/),
      expect.stringMatching(/delivered again.*"undelivered":3/),
    ]);
    expect(logged.join()).not.toContain('T0PSECRET');
  });

  it('does not insist when the receiver refuses, and follows nobody elsewhere', async () => {
    const statuses = [400, 302];
    answer = (response) => response.writeHead(statuses.shift() ?? 200, { location: '/elsewhere' }).end();
    const notifier = createNotifier();
    notifier.notify(quarantined('a'));
    notifier.notify(quarantined('b'));
    await notifier.close();
    expect(received).toHaveLength(2);
    expect(notifier.dropped()).toBe(2);
  });

  it('gives up on a receiver that never answers, and on one that is not there', async () => {
    answer = () => undefined;
    const hanging = createNotifier({ timeoutMs: 300 });
    hanging.notify(quarantined());
    await hanging.close();
    expect(hanging.dropped()).toBe(1);
    expect(received).toHaveLength(3);

    const absent = createNotifier();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    absent.notify(quarantined());
    await absent.close();
    expect(absent.dropped()).toBe(1);
    expect(logged.at(-1)).toContain('ECONNREFUSED');
  });

  it('keeps a bounded number waiting and drops the oldest', async () => {
    let release: () => void = () => undefined;
    answer = (response) => {
      release = () => response.writeHead(200).end();
    };
    const notifier = createNotifier({ capacity: 3 });
    notifier.notify(quarantined('first'));
    await requests(1);
    for (let i = 0; i < 10; i += 1) notifier.notify(quarantined(`s${i}`));
    expect(notifier.dropped()).toBe(7);
    answer = (response) => response.writeHead(200).end();
    release();
    await notifier.close();
    expect(received.map(({ event }) => event.service)).toEqual(['first', 's7', 's8', 's9']);
  });

  it('tells a burst once, and later how many there were', async () => {
    let nowMs = 0;
    const clock: Clock = { ...systemClock, nowMs: () => nowMs };
    const notifier = createNotifier({ clock, quietMs: 60_000 });
    for (let i = 0; i < 5; i += 1) notifier.notify(quarantined());
    notifier.notify(quarantined('other'));
    nowMs = 60_000;
    notifier.notify(quarantined());
    await notifier.close();
    expect(received.map(({ event, suppressed }) => [event.service, suppressed])).toEqual([
      ['shop', 0],
      ['other', 0],
      ['shop', 4],
    ]);
    expect(received[2]?.text).toContain('and 4 more');
  });

  it('does not hold up a shutdown for long, and counts what it leaves undone', async () => {
    answer = () => undefined;
    let graceOver: () => void = () => undefined;
    const clock: Clock = {
      ...systemClock,
      after: (_delayMs, run) => {
        graceOver = run;
        return () => undefined;
      },
    };
    const notifier = createNotifier({ clock });
    notifier.notify(quarantined('a'));
    notifier.notify(quarantined('b'));
    await requests(1);
    const closed = notifier.close();
    notifier.notify(quarantined('c'));
    graceOver();
    await closed;
    expect(notifier.dropped()).toBe(3);
  });
});
