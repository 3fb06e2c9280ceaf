/** The gateway's own pages behind a plain HTTP server: what a browser sees, without the data path. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { OwnAnswer } from '../../backend/src/gateway/shared/answer.js';
import type { WorkerPages } from '../../backend/src/gateway/pages/workerPages.js';

export interface PagesServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @param pages asked for every request; @param port 0: any free one. */
export async function servePages(pages: WorkerPages, port = 0): Promise<PagesServer> {
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://any');
    const peerAddress = request.socket.remoteAddress ?? '';
    const send = ({ status, lines, contentType, body }: OwnAnswer): void => {
      response.statusCode = status;
      for (const line of lines.split('\r\n').filter((each) => each !== '')) {
        const colon = line.indexOf(':');
        response.appendHeader(line.slice(0, colon), line.slice(colon + 1).trim());
      }
      response.setHeader('Content-Type', contentType);
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    if (!pages.handles(pathname)) return void response.writeHead(404).end();
    void pages
      .answer({
        method: request.method ?? 'GET',
        path: pathname,
        query: search.slice(1),
        host: request.headers.host ?? '',
        clientAddress: peerAddress,
        peerAddress,
        secure: false,
        passedOn: ['x-forwarded-for', 'forwarded', 'via'].some((name) => name in request.headers),
        requestId: 'test',
        connection: null,
        body: null,
        header: (name) => request.headersDistinct[name]?.[0] ?? null,
      })
      .then(send);
  });
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: listening } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${listening}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
