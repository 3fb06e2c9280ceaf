/**
 * What surrounds a service's own routes: headers for every answer, 404, and the one place errors become answers: a page
 * in a browser, JSON for every other client.
 */
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import express from 'express';
import { AppError, messageOf } from './errors.js';
import type { Log } from './log.js';
import { escaped, PLAIN_PAGE_POLICY, renderPlainPage } from './plainPage.js';

export function createApp(): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use((_request, response, next) => {
    response.setHeader('X-Content-Type-Options', 'nosniff');
    next();
  });
  return app;
}

/** Comes after every route. */
export function finishApp(app: Express, log: Log): void {
  app.use(notFound, errorMapper(log));
}

const notFound: RequestHandler = (request) => {
  throw new AppError('route.unknown', `there is no ${request.method} ${request.path} here`, { status: 404 });
};

function errorMapper(log: Log): ErrorRequestHandler {
  return (thrown: unknown, request, response, _next) => {
    const error = toAppError(thrown);
    if (error.status === 500) log.error('request failed', { path: request.path, problem: stackOf(thrown) });
    if (response.headersSent) {
      response.destroy(); // part of an answer is out: cutting it is the only way to say that it is not whole
      return;
    }
    if (error.retryAfterSeconds !== undefined) response.setHeader('Retry-After', error.retryAfterSeconds);
    response.status(error.status).vary('Accept');
    if (request.accepts(['json', 'html']) === 'html') {
      response.setHeader('Content-Security-Policy', PLAIN_PAGE_POLICY);
      response.type('html').send(errorPage(error));
      return;
    }
    const { code, message, details } = error;
    response.json({ success: false, error: { code, message, details } });
  };
}

function errorPage({ status, code, message }: AppError): string {
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
  const advice =
    status === 404
      ? '<a href="/">The first page</a> shows where to go from here.'
      : status < 500
        ? 'Go back and check what was sent.'
        : 'Reload the page in a moment.';
  return renderPlainPage({
    title: status === 404 ? 'There is nothing at this address' : 'That did not work',
    tone: status < 500 ? null : 'down',
    body: `<p>${escaped(sentence)}</p>\n<p>${advice}</p>\n<p>Status ${status}, code <code>${escaped(code)}</code></p>`,
    refreshSeconds: null,
  });
}

function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  // Express and its body parser mark the client's mistakes with a 4xx status and a message meant to be shown.
  const status = typeof thrown === 'object' && thrown !== null && 'status' in thrown ? thrown.status : null;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AppError('request.invalid', messageOf(thrown), { status, cause: thrown });
  }
  return new AppError('internal', 'this request met a defect of the service; its log tells more', {
    cause: thrown,
  });
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
