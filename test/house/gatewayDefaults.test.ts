/** The layers keep the gateway's own defaults and those of its settings apart; they must say the same. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../backend/src/config/load.js';
import { DEFAULT_LIMITS } from '../../backend/src/gateway/shared/limits.js';

it('the settings default to what a worker defaults to', () => {
  const result = loadConfig({ root: join(tmpdir(), 'holdfast-no-such-folder'), env: {} });
  if (!result.ok) throw new Error('the defaults are not valid');
  expect(DEFAULT_LIMITS).toMatchObject(result.config.gateway.limits);
});
