import { createServer } from 'node:net';

/** Whether nothing listens on `port` on any IPv4 address. */
function isPortFree(port: number, host = '0.0.0.0'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Given out already: tests that run side by side must not get the same before they use them. */
const given = new Set<number>();

/** Each worker of vitest has ports of its own: two of them cannot see what the other has given out. */
const SHARE = 3_000;
const FIRST = 20_000 + SHARE * ((Number(process.env['VITEST_POOL_ID'] ?? 1) - 1) % 4);

/**
 * The first of `count` contiguous ports that are free right now, below the range the kernel hands out by
 * itself (32768 and up), so that no outgoing connection takes one in the meantime.
 */
export async function freePortRange(count: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const first = FIRST + Math.floor(Math.random() * (SHARE - count));
    const ports = Array.from({ length: count }, (_, i) => first + i);
    if (ports.some((port) => given.has(port))) continue;
    for (const port of ports) given.add(port);
    const free = await Promise.all(ports.map((port) => isPortFree(port)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${count} contiguous free ports found between ${FIRST} and ${FIRST + SHARE}`);
}
