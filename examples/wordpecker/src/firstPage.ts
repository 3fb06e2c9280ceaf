/** `/` of the backend: that it runs, which instance answered, and where to go from here. */
import type { RequestHandler } from 'express';
import { escaped, PLAIN_PAGE_POLICY, renderPlainPage } from './lib/plainPage.js';

export interface FirstPageOptions {
  /** Number of this instance; null: it has none. */
  readonly instance: number | null;
  /** Where the gateway in front leads to the frontend; null: there is none. */
  readonly frontendPath: string | null;
}

export function firstPage({ instance, frontendPath }: FirstPageOptions): RequestHandler {
  const answeredBy = `${instance === null ? '' : `Instance ${instance}, `}process ${process.pid}`;
  return (request, response) => {
    response.setHeader('Cache-Control', 'no-store');
    response.vary('Accept');
    // Only through a gateway is there more than this instance at this address.
    const isBehindGateway = request.headers.via !== undefined;
    const app = isBehindGateway ? frontendPath : null;
    if (request.accepts(['json', 'html']) !== 'html') {
      response.json({ success: true, name: 'wordpecker-backend', instance, pid: process.pid, app });
      return;
    }
    const links = [
      ...(app === null ? [] : [[app, 'the sample application'] as const]),
      ...(isBehindGateway ? [['/lb', 'the gateway’s live page, for this machine'] as const] : []),
      ['/status.html', 'how the service fares'] as const,
      ['/api/status', 'this instance, as JSON'] as const,
      ['/api/lists', 'its word lists, as JSON'] as const,
    ];
    response.setHeader('Content-Security-Policy', PLAIN_PAGE_POLICY);
    response.type('html').send(
      renderPlainPage({
        title: 'Wordpecker is running',
        tone: 'up',
        body: `<p>${answeredBy.charAt(0).toUpperCase()}${answeredBy.slice(1)} of wordpecker-backend answered. It is the sample service of Holdfast.</p>
<ul>
${links.map(([path, what]) => `<li><a href="${escaped(path)}">${escaped(path)}</a>: ${what}</li>`).join('\n')}
</ul>`,
        refreshSeconds: null,
      }),
    );
  };
}
