/** What surrounds a service's own routes: headers for every answer, 404, and the one place errors become JSON. */
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import express from 'express';
import { AppError, messageOf } from './errors.js';
import type { Log } from './log.js';

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
    const { code, message, details } = error;
    response.status(error.status).json({ success: false, error: { code, message, details } });
  };
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
