import { describe, expect, it } from 'vitest';
import type { AppDefinition } from '../adapters/pm2/appDefinition.js';
import { undefinedApp, type DefinedApp } from './ecosystemFile.js';
import { describeOther, separate } from './ownApps.js';
import type { Pm2App } from './pm2Command.js';

const app = (name: string, script: string, namespace = 'default'): DefinedApp => ({
  ...undefinedApp(name),
  definition: { name, script, cwd: '/srv', env: {}, options: { namespace } } as unknown as AppDefinition,
});
const row = (pmId: number, name: string, script: string, namespace = 'default'): Pm2App =>
  ({ pmId, name, application: { namespace, script, cwd: '/srv' } }) as Pm2App;
const numbers = (rows: readonly Pm2App[]): readonly number[] => rows.map(({ pmId }) => pmId);

const LISTED = [
  row(0, 'web', '/srv/web.js'),
  row(1, 'web', '/srv/web.js', 'admin'),
  row(2, 'web', '/srv/admin.js'),
  row(3, 'api', '/srv/api.js'),
  row(4, 'ha-supervisor', '/opt/supervisor.js'),
];

describe('separate', () => {
  it.each([
    ['by namespace and script', [app('web', '/srv/web.js'), app('api', '/srv/api.js')], [], [0, 3], [1, 2]],
    ['with what the supervisor knows', [app('web', '/srv/web.js')], [2], [0, 2], [1]],
    ['where nothing of its own runs', [app('web', '/srv/new.js')], [], [], [0, 1, 2]],
    [
      'with two of one name',
      [app('web', '/srv/web.js'), app('web', '/srv/web.js', 'admin')],
      [],
      [0, 1],
      [2],
    ],
    ['without a definition: the oldest says what it is', [undefinedApp('web')], [], [0], [1, 2]],
    ["Holdfast's own, by name", [app('ha-supervisor', '/elsewhere.js')], [], [4], []],
  ])('%s', async (_what, apps, known, own, others) => {
    const found = await separate(LISTED, apps, new Map([['web', new Set(known)]]));
    expect(numbers(found.own)).toEqual(own);
    expect(numbers(found.others)).toEqual(others);
  });
});

it('describes another application by what tells it apart', () => {
  expect(describeOther(LISTED[1]!)).toBe('web (pm 1, namespace admin, /srv/web.js)');
});
