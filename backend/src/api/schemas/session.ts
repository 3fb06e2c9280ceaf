/** Login of a browser. */
import { z } from 'zod';
import { timestamp } from './primitives.js';

const tokenRule = 'must be a text of 1–1024 characters';

export const login = z.strictObject({
  token: z
    .string({ error: tokenRule })
    .min(1, tokenRule)
    .max(1024, tokenRule)
    .describe('The value of HA_API_TOKEN.'),
});

export const session = z.object({
  authenticated: z.boolean(),
  expiresAt: timestamp
    .nullable()
    .describe('When it ends unless it is used; every use moves it on, until its lifetime is over.'),
});
