import { describe, expect, it } from 'vitest';
import { takeOutPreload, takeSocketPath } from './inheritance.js';

const PATH = '/data/run/agents.sock';

describe('takeSocketPath', () => {
  it('takes the variable out of the environment in fork mode', () => {
    const env = { HOLDFAST_AGENT_SOCKET: PATH, OTHER: '1' };
    expect(takeSocketPath(env)).toBe(PATH);
    expect(env).toEqual({ OTHER: '1' });
  });

  it("takes it out of PM2's JSON in cluster mode, where PM2 would put it into the environment", () => {
    const own = { name: 'api', PORT: 14_000, env: { PORT: 14_000 }, node_args: ['--require', 'x'] };
    const packed = {
      ...own,
      HOLDFAST_AGENT_SOCKET: PATH,
      env: { ...own.env, HOLDFAST_AGENT_SOCKET: PATH },
    };
    const env: NodeJS.ProcessEnv = { pm2_env: JSON.stringify(packed), OTHER: '1' };
    expect(takeSocketPath(env)).toBe(PATH);
    expect(JSON.parse(env['pm2_env'] ?? '')).toEqual(own);
    expect(Object.keys(env)).toEqual(['pm2_env', 'OTHER']);
  });

  it('prefers what is meant for this process over what the daemon was started with', () => {
    const env = { HOLDFAST_AGENT_SOCKET: '/of/the/daemon', pm2_env: `{"HOLDFAST_AGENT_SOCKET":"${PATH}"}` };
    expect(takeSocketPath(env)).toBe(PATH);
  });

  it.each([
    {},
    { HOLDFAST_AGENT_SOCKET: '' },
    { pm2_env: '{}' },
    { pm2_env: '{"HOLDFAST_AGENT_SOCKET":""}' },
    { pm2_env: '{"HOLDFAST_AGENT_SOCKET":7}' },
  ])('finds none in %j', (env: NodeJS.ProcessEnv) => {
    expect(takeSocketPath(env)).toBeNull();
  });

  it('leaves the JSON alone byte for byte where it says nothing', () => {
    const env: NodeJS.ProcessEnv = { pm2_env: '{ "name":  "api" }' };
    takeSocketPath(env);
    expect(env['pm2_env']).toBe('{ "name":  "api" }');
  });
});

describe('takeOutPreload', () => {
  const files = ['/ha/backend/preload.cjs', '/ha/backend/dist/agent/preload.js'];

  it.each([
    [['--require', '/ha/backend/preload.cjs'], []],
    [
      ['--inspect', '-r', '/ha/backend/preload.cjs', '--expose-gc'],
      ['--inspect', '--expose-gc'],
    ],
    [['--require=/ha/backend/dist/agent/preload.js'], []],
    [
      ['--require', '/other.js', '--require', '/ha/backend/preload.cjs'],
      ['--require', '/other.js'],
    ],
    [
      ['--import', '/ha/backend/preload.cjs.mjs'],
      ['--import', '/ha/backend/preload.cjs.mjs'],
    ],
    [['--require'], ['--require']],
    [[], []],
  ])('%j becomes %j', (words, left) => {
    const execArgv = [...words];
    takeOutPreload(execArgv, files);
    expect(execArgv).toEqual(left);
  });
});
