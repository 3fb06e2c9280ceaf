/**
 * The one place where something thrown becomes an answer. A HoldfastError is meant for the caller and passes
 * as it is; what Express and its body parser throw gets a code of ours; anything else is a bug: the caller
 * learns a request id, the log learns the rest.
 */
import type { ErrorRequestHandler, Response } from 'express';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { Logger } from '../ports.js';
import { failure } from './envelope.js';
import { sendJson } from './outgoing.js';
import { requestIdOf } from './requestLog.js';

/** Express's error handler. Answers in the envelope, or cuts the connection when an answer has already begun. */
export function errorMapper(logger: Logger, bodyLimitBytes: number): ErrorRequestHandler {
  return (thrown: unknown, request, response, _next) => {
    const requestId = requestIdOf(response);
    const error = asHoldfastError(thrown, bodyLimitBytes) ?? unexpected(requestId);
    if (error.code === 'internal.error') {
      const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
      logger.error('API call failed unexpectedly', { requestId, path: request.path, error: text });
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    sendFailure(response, error);
  };
}

/** Sends the envelope of `error`, with the headers that its status asks for. */
export function sendFailure(response: Response, error: HoldfastError): void {
  const { retryAfterSeconds, allow } = error.details ?? {};
  if (typeof retryAfterSeconds === 'number') response.set('Retry-After', String(retryAfterSeconds));
  if (Array.isArray(allow)) response.set('Allow', allow.join(', '));
  if (error.status === 401) response.set('WWW-Authenticate', 'Bearer realm="holdfast"');
  // What is left of an unread body is not worth reading: the connection ends with this answer.
  if (!response.req.complete) response.set('Connection', 'close');
  sendJson(response.status(error.status), failure(error.code, error.message, error.details));
}

function unexpected(requestId: string): HoldfastError {
  return new HoldfastError(
    'internal.error',
    `Something unexpected went wrong here. The supervisor's log tells more under request id ${requestId}.`,
  );
}

/** Refusals of Express and body-parser are told apart by `type` and `status`, the way both document. */
function asHoldfastError(thrown: unknown, bodyLimitBytes: number): HoldfastError | null {
  if (thrown instanceof HoldfastError) return thrown;
  if (!(thrown instanceof Error)) return null;
  const { type, status } = thrown as Error & { type?: unknown; status?: unknown };
  switch (type) {
    case 'entity.too.large':
      return new HoldfastError('request.too-large', `The body is larger than ${bodyLimitBytes} bytes.`, {
        status: 413,
        details: { limitBytes: bodyLimitBytes },
      });
    case 'entity.parse.failed':
      return new HoldfastError('request.malformed-json', 'The body is not a JSON object.', { status: 400 });
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return unsupportedMediaType('The body must be plain UTF-8, without Content-Encoding.');
    case 'request.aborted':
    case 'request.size.invalid':
      return new HoldfastError('request.incomplete', 'The body ended before its announced length.', {
        status: 400,
      });
    default:
      return typeof status === 'number' && status >= 400 && status < 500
        ? new HoldfastError('request.malformed', 'The request could not be understood.', { status })
        : null;
  }
}

/** 415, with what would have been right. */
export function unsupportedMediaType(problem: string): HoldfastError {
  return new HoldfastError(
    'request.not-json',
    `${problem} Send JSON with "Content-Type: application/json".`,
    {
      status: 415,
    },
  );
}
