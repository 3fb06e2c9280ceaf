/** Whether the ports that are about to be used are free, before PM2 starts something that then loops. */
import { createServer } from 'node:net';

/** Free on loopback and on every address: either kind of listener would be in the way. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await canListen(port, '127.0.0.1')) && (await canListen(port, undefined));
}

function canListen(port: number, host: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, ...(host === undefined ? {} : { host }), exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}
