/** Requests that a page of another origin makes a browser send, as a running service takes them. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend } from '../backendService.js';
import { startInProcess } from './testing/startInProcess.js';

let service: Awaited<ReturnType<typeof startInProcess>>;
beforeAll(async () => {
  service = await startInProcess(backend, { ENABLE_FAULTS: 'true' });
});
afterAll(() => service.stop());

type Fields = Readonly<Record<string, string>>;

/** @returns the status. PORT in a field is the port of the service. */
async function statusOf(method: string, target: string, fields: Fields): Promise<number> {
  const socket = connect(service.port, '127.0.0.1');
  const lines = Object.entries({ Host: '127.0.0.1:PORT', ...fields }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  const head = `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
  socket.write(head.replaceAll('PORT', String(service.port)));
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.includes('\r\n\r\n')) break;
  }
  socket.destroy();
  return Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]);
}

const OURS: readonly (readonly [string, Fields])[] = [
  ['a program', {}],
  ['a program that says localhost', { Host: 'localhost:PORT' }],
  ['a page of this origin', { Origin: 'http://127.0.0.1:PORT', 'Sec-Fetch-Site': 'same-origin' }],
  ['a page behind a proxy here', { Origin: 'https://localhost', 'X-Forwarded-Host': 'localhost' }],
];
const FOREIGN: readonly (readonly [string, Fields])[] = [
  ['a page of another site', { Origin: 'http://evil.example' }],
  ['a page without an origin', { Origin: 'null' }],
  ['a page on another port of this machine', { Origin: 'http://127.0.0.1:1' }],
  ['a page that the browser calls cross-site', { 'Sec-Fetch-Site': 'cross-site' }],
  ['a page that the browser calls same-site', { 'Sec-Fetch-Site': 'same-site' }],
  ['a page whose name begins like ours', { Origin: 'http://127.0.0.1:PORT.evil.example' }],
];
/** Its name leads to this machine: origin and host agree. */
const REBOUND: readonly (readonly [string, Fields, string])[] = [
  ['a name that leads here', { Host: 'evil.example', Origin: 'http://evil.example' }, ''],
  ['such a name through a proxy here', { 'X-Forwarded-Host': 'evil.example' }, ''],
  ['such a name in the target', {}, 'http://evil.example'],
];

describe('a fault switch', () => {
  it.each(OURS)('is there for %s', async (_who, fields) => {
    expect(await statusOf('POST', '/debug/health?status=200', fields)).toBe(200);
  });

  it.each([...FOREIGN.map(([who, fields]) => [who, fields, ''] as const), ...REBOUND])(
    'is not there for %s',
    async (_who, fields, at) => {
      expect(await statusOf('POST', `${at}/debug/health?status=503`, fields)).toBe(404);
      expect((await fetch(`${service.url}/health`)).status).toBe(200);
    },
  );
});

describe('a WebSocket', () => {
  const upgrade = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };

  it.each(OURS)('is opened for %s', async (_who, fields) => {
    expect(await statusOf('GET', '/ws', { ...upgrade, ...fields })).toBe(101);
  });

  it.each(FOREIGN)('is not opened for %s', async (_who, fields) => {
    expect(await statusOf('GET', '/ws', { ...upgrade, ...fields })).toBe(403);
  });
});
