/**
 * Whether a port is nobody's. Listening with SO_REUSEPORT does not tell: any process of the same user that listens with
 * it as well gets a share of the connections, and neither notices.
 */
import { createServer } from 'node:net';

/**
 * Binds the port for a moment as nobody could beside another.
 * @returns null: it is free; else the system's error (EADDRINUSE, EACCES, …). Never rejects.
 */
export function whyNotFree(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
