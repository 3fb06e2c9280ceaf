/** All JSON that the API hands out goes through here: without the noise of fractions, without secrets, nothing invisible. */
import type { Response } from 'express';
import { withoutSecrets } from '../lib/secrets/ofProcess.js';
import { withoutNoise } from '../lib/numbers.js';
import { visibleJson } from '../lib/visible.js';

const JSON_TYPE = 'application/json; charset=utf-8';

export const outgoingJson = (value: unknown): string =>
  visibleJson(JSON.stringify(value, (key, one: unknown) => withoutNoise(key, withoutSecrets(key, one))));

/** Ends the answer with `value`; its status and headers are set already. */
export function sendJson(response: Response, value: unknown): void {
  response.set('Content-Type', JSON_TYPE).send(outgoingJson(value));
}
