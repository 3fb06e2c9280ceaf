/** What the primary renders for its workers, by path. Who may see it was decided by the worker (workerPages.ts). */
import { shownJson } from '../../lib/secrets/ofProcess.js';
import { messageOf } from '../../domain/errors.js';
import type { OwnAnswer, Problem } from '../shared/answer.js';
import { livePage, renderLivePage } from './livePage.js';
import { METRICS_CONTENT_TYPE, renderMetrics } from './metrics.js';
import type { GatewayMonitor } from './monitor.js';
import { RESET_PATH, type PrimaryPath } from './ownPaths.js';
import { publicPage, renderPublicPage } from './publicPage.js';

const HTML = 'text/html; charset=utf-8';

/** Figures of a moment; nothing on the way may keep them. */
const PRIVATE =
  'Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n';
/** The same for everybody; a cache in front may answer for a moment, and for longer when we can't. */
const PUBLIC =
  'Cache-Control: public, max-age=2, stale-if-error=60\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n';

/** Never rejects: what can't be rendered is a problem with status 500. */
export async function renderPage(path: PrimaryPath, monitor: GatewayMonitor): Promise<OwnAnswer | Problem> {
  try {
    return await render(path, monitor);
  } catch (error) {
    const message = `The page ${path} could not be rendered: ${messageOf(error)}`;
    return { status: 500, code: 'page.failed', message };
  }
}

async function render(path: PrimaryPath, monitor: GatewayMonitor): Promise<OwnAnswer> {
  switch (path) {
    case '/lb': {
      const lines = `${PRIVATE}Content-Security-Policy: ${livePage.assets.policy}\r\n`;
      return { status: 200, lines, contentType: HTML, body: renderLivePage(monitor.status()) };
    }
    case '/lb/status': {
      const body = `${shownJson(monitor.status())}\n`;
      return { status: 200, lines: PRIVATE, contentType: 'application/json; charset=utf-8', body };
    }
    case RESET_PATH: {
      const body = `${JSON.stringify({ success: true, data: { countedSince: monitor.resetFigures() } })}\n`;
      return { status: 200, lines: PRIVATE, contentType: 'application/json; charset=utf-8', body };
    }
    case '/metrics': {
      const body = await renderMetrics(monitor.status(), monitor.ledger);
      return { status: 200, lines: PRIVATE, contentType: METRICS_CONTENT_TYPE, body };
    }
    case '/status.html': {
      const lines = `${PUBLIC}Content-Security-Policy: ${publicPage.assets.policy}\r\n`;
      return { status: 200, lines, contentType: HTML, body: renderPublicPage(monitor.publicStatus()) };
    }
  }
}
