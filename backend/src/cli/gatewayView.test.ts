import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../../test/support/waitFor.js';
import type { CliContext } from './context.js';
import { gatewayHealth, gatewayStatus } from './gatewayView.js';
import { findGatewayLoad } from './testHa/gatewayLoad.js';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** What a command knows of a gateway on `port`. */
function contextOf(port: number, gateway: Record<string, unknown> = {}, apiToken: string | null = null) {
  const config = { gateway: { host: '0.0.0.0', port, tlsRedirectPort: null, ...gateway }, apiToken };
  return { config } as unknown as CliContext;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function closedPort(): Promise<number> {
  const port = await listen(() => undefined);
  await new Promise((resolve) => server?.close(resolve));
  return port;
}

const pool = (name: string, routes: readonly string[]) => ({
  name,
  condition: 'up',
  algorithm: 'ip-hash',
  routes,
  requestsPerSecond: 1,
  inFlight: 0,
  latencyMs: null,
  errorRate: null,
  upstreams: [{ id: '127.0.0.1:1', state: 'up', more: 'is ignored' }],
});
const statusOf = (...pools: ReturnType<typeof pool>[]) => JSON.stringify({ workers: [], pools });

describe('the health of a gateway', () => {
  it.each([
    [200, '{"status":"ok"}', true, 'every pool has an upstream'],
    [200, '{"status":"degraded"}', true, 'a pool has no upstream'],
    [503, '{"status":"unavailable"}', false, 'no pool has an upstream: every request gets 503'],
    [503, '{"status":"draining"}', false, 'it is on its way out'],
    [200, '<html>', false, 'answers HTTP 200; is it a Holdfast gateway?'],
    [200, '{"status":"constructor"}', false, 'answers HTTP 200; is it a Holdfast gateway?'],
    [404, 'null', false, 'answers HTTP 404; is it a Holdfast gateway?'],
  ])('%i %s', async (status, body, ok, detail) => {
    const port = await listen((_request, response) => void response.writeHead(status).end(body));
    expect(await gatewayHealth(contextOf(port))).toMatchObject({ ok, detail, isAway: false });
  });

  it('says when nothing listens there', async () => {
    const health = await gatewayHealth(contextOf(await closedPort()));
    expect(health).toMatchObject({ ok: false, latencyMs: null, isAway: true });
    expect(health.detail).toContain('ECONNREFUSED');
  });
});

describe('what it shows', () => {
  it('is asked for with the token', async () => {
    const port = await listen(({ headers }, response) =>
      headers.authorization === 'Bearer t' ? response.end(statusOf()) : response.writeHead(401).end(),
    );
    expect(await gatewayStatus(contextOf(port, {}, 't'))).toEqual({ workers: [], pools: [] });
    expect(await gatewayStatus(contextOf(port))).toEqual({ problem: '/lb/status answers HTTP 401' });
  });

  it.each(['', '[]', '{"pools":1}'])('is not %j', async (body) => {
    const port = await listen((_request, response) => void response.end(body));
    expect(await gatewayStatus(contextOf(port))).toMatchObject({
      problem: expect.stringContaining('not that of'),
    });
  });
});

describe('traffic through it', () => {
  it.each([
    [['*/'], '/', 'the whole host: slow requests, too'],
    [['shop.example/', '*/ui'], '/ui', 'the first route of any host'],
  ])('goes where its routes %j lead to the service, %s (%s)', async (routes, path, _why) => {
    const seen = new Set<string>();
    const port = await listen(({ url = '' }, response) => {
      if (url === '/lb/status') response.end(statusOf(pool('web', ['*/x']), pool('shop', routes)));
      else {
        seen.add(url);
        response.writeHead(url.includes('fail') ? 500 : 404).end();
      }
    });
    const found = await findGatewayLoad(contextOf(port), 'shop', '/debug/slow?ms=1');
    if (!('load' in found)) throw new Error(found.why);
    expect(found.url).toBe(`http://127.0.0.1:${port}${path}`);
    found.load.start();
    let answered = 0;
    await waitFor(() => (answered += found.load.take().answered) >= 15, { what: 'answers' });
    await found.load.stop();
    // A fault switch is below "/" only if all paths lead there.
    expect([...seen].sort()).toEqual(path === '/' ? ['/', '/debug/slow?ms=1'] : [path]);
  });

  it('counts every loss: nothing is the test’s own doing here', async () => {
    const port = await listen(({ url, socket }, response) => {
      if (url === '/lb/status') response.end(statusOf(pool('shop', ['*/'])));
      else if (socket.bytesRead > 400) socket.destroy();
      else response.end();
    });
    const found = await findGatewayLoad(contextOf(port), 'shop', null);
    if (!('load' in found)) throw new Error(found.why);
    found.load.start();
    let losses: readonly string[] = [];
    await waitFor(() => (losses = [...losses, ...found.load.take().losses]).length > 0, { what: 'a loss' });
    await found.load.stop();
    expect(losses[0]).toMatch(/^through the gateway: /);
  });

  it('is not there, and it says why', async () => {
    const port = await listen(({ url }, response) =>
      url === '/lb/status'
        ? response.end(statusOf(pool('shop', ['*/']), pool('mail', ['mail.example/'])))
        : response.writeHead(503).end(),
    );
    const why = async (context: CliContext, service: string): Promise<string> => {
      const found = await findGatewayLoad(context, service, null);
      return 'why' in found ? found.why : '';
    };
    expect(await why(contextOf(port), 'shop')).toContain('/ there answers HTTP 503');
    expect(await why(contextOf(port), 'mail')).toContain('no route of it leads to mail, whatever the host');
    expect(await why(contextOf(port), 'other')).toContain('no route of it leads to other');
    expect(await why(contextOf(port, { tlsRedirectPort: 443 }), 'shop')).toContain('tlsRedirectPort');
    server?.closeAllConnections();
    server?.close();
    expect(await why(contextOf(await closedPort()), 'shop')).toContain('ECONNREFUSED');
  });
});
