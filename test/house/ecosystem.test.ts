/**
 * The ecosystem files as PM2 and the supervisor read them: evaluated in a process of its own, with the environment
 * and the build that the test chooses.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadEcosystem } from '../../backend/src/adapters/pm2/ecosystem.js';
import { gatewayRouting, type Routing } from '../../backend/src/config/gateway.js';
import { loadConfig } from '../../backend/src/config/load.js';
import { formatProblems } from '../../backend/src/config/problems.js';
import { compileRoutes } from '../../backend/src/domain/upstreams/routing.js';
import { GATEWAY_SETTINGS } from '../../backend/src/config/gatewaySchema.js';
import {
  ENVIRONMENT_SETTINGS,
  environmentName,
  GLOBAL_SETTINGS,
  SERVICE_SETTINGS,
} from '../../backend/src/config/schema.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface App {
  readonly name: string;
  readonly instances: number;
  readonly port?: number;
  readonly stop_exit_codes?: readonly number[];
  readonly exec_mode: string;
  readonly kill_timeout: number;
  readonly node_args?: readonly string[];
  readonly out_file: string;
  readonly error_file: string;
  readonly env: Readonly<Record<string, string>>;
  readonly env_production: Readonly<Record<string, string>>;
}

/** A project with the ecosystem files and a build that is there, but empty. */
let project = '';

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'holdfast-ecosystem-'));
  for (const file of [
    'ecosystem.config.js',
    'ecosystem.cluster.config.js',
    'backend/deployment.cjs',
    'backend/ecosystem.cjs',
    'backend/gatewayNode.cjs',
    'backend/installation.cjs',
    'backend/secretFiles.cjs',
    'backend/sessionSecret.cjs',
    'backend/socketFolder.cjs',
    'backend/startedWith.cjs',
    'examples/wordpecker/ecosystem.cjs',
  ]) {
    cpSync(join(root, file), join(project, file));
  }
  for (const script of [
    'backend/dist/supervisor.js',
    'backend/dist/gateway.js',
    'examples/wordpecker/dist/backend.js',
    'examples/wordpecker/dist/frontend.js',
  ]) {
    mkdirSync(join(project, script, '..'), { recursive: true });
    writeFileSync(join(project, script), '');
  }
});
afterEach(() => rmSync(project, { recursive: true, force: true }));

function evaluate(
  file: string,
  env: Readonly<Record<string, string>> = {},
  words: readonly string[] = ['start'],
  cwd = tmpdir(),
) {
  const program = `process.stdout.write(JSON.stringify(require(${JSON.stringify(join(project, file))}).apps))`;
  const run = spawnSync(process.execPath, ['-e', program, '--', ...words], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: '/home/someone', ...env },
    encoding: 'utf8',
  });
  return { ...run, apps: () => JSON.parse(run.stdout) as App[] };
}

function appsOf(file: string, env: Readonly<Record<string, string>> = {}) {
  const apps = evaluate(file, env).apps();
  const named = (name: string): App => {
    const app = apps.find((candidate) => candidate.name === name);
    if (app === undefined) throw new Error(`${file} does not define ${name}`);
    return app;
  };
  return {
    supervisor: named('ha-supervisor'),
    backend: named('wordpecker-backend'),
    frontend: named('wordpecker-frontend'),
    gateway: named('ha-gateway'),
  };
}

function routingOf(env: Readonly<Record<string, string>>): Routing {
  const result = loadConfig({ root: project, env });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return gatewayRouting(result.config.gateway, 'nobody');
}

describe('the deployments', () => {
  it('standard: one of each, no autoscaling, logs/pm2-*.log', () => {
    const { supervisor, backend, frontend } = appsOf('ecosystem.config.js');
    expect([supervisor.instances, backend.instances, frontend.instances]).toEqual([1, 1, 1]);
    expect(supervisor.env['HA_DEFAULT_AUTOSCALE']).toBe('false');
    expect(supervisor.env).not.toHaveProperty('AUTOSCALE');
    expect(backend.out_file).toBe(join(project, 'logs/pm2-backend-out.log'));
    expect(frontend.error_file).toBe(join(project, 'logs/pm2-frontend-error.log'));
  });

  it('clustered: several backends, autoscaling left to the configuration, logs/cluster-*.log', () => {
    const { supervisor, backend, frontend } = appsOf('ecosystem.cluster.config.js');
    expect(backend.instances).toBe(2);
    expect(supervisor.env).not.toHaveProperty('HA_DEFAULT_AUTOSCALE');
    expect(backend.out_file).toBe(join(project, 'logs/cluster-backend-out.log'));
    expect(frontend.error_file).toBe(join(project, 'logs/cluster-frontend-error.log'));
  });

  it('leave a supervisor alone that says that only a person can help', () => {
    const { supervisor, backend, gateway } = appsOf('ecosystem.config.js');
    expect(supervisor.stop_exit_codes).toEqual([78]);
    expect(gateway.stop_exit_codes).toEqual([77, 78]);
    expect(backend.stop_exit_codes).toBeUndefined();
  });

  it('lend their supervisor to the ecosystem file of somebody else, anywhere', () => {
    const file = join(mkdtempSync(join(project, 'elsewhere-')), 'ecosystem.config.js');
    writeFileSync(
      file,
      `const { defineSupervisor } = require(${JSON.stringify(join(project, 'backend/ecosystem.cjs'))});
      module.exports = { apps: [defineSupervisor({ file: __filename }), { name: 'my-api', script: 'server.js' }] };`,
    );
    rmSync(join(project, 'examples'), { recursive: true });
    const [supervisor, own] = evaluate(relative(project, file)).apps();
    expect(supervisor?.name).toBe('ha-supervisor');
    expect(supervisor?.env['HA_ROOT']).toBe(project);
    expect(supervisor?.env['HA_ECOSYSTEM_FILE']).toBe(file);
    expect(supervisor?.env).not.toHaveProperty('AUTOSCALE');
    expect(own).toEqual({ name: 'my-api', script: 'server.js' });
  });

  it.each<
    [
      how: string,
      words: readonly string[],
      env: Readonly<Record<string, string>>,
      dotEnv: string,
      path: string,
    ]
  >([
    ['as a word of pm2', ['pm2', 'start', 'ecosystem.config.js'], { PWD: 'current' }, '', 'current'],
    ['in the environment', ['pm2', 'start', 'other.js'], { HA_ECOSYSTEM_FILE: 'current' }, '', 'current'],
    ['in .env', ['pm2', 'start', 'other.js'], {}, 'current', 'current'],
    ['in .env, and it is another file', ['pm2', 'start', 'other.js'], {}, 'elsewhere', 'releases/1'],
    ['in no way', ['pm2', 'resurrect'], {}, '', 'releases/1'],
  ])('keep the path of a file that was named by a link %s', (_how, words, env, dotEnv, path) => {
    const release = join(project, 'releases/1');
    mkdirSync(release, { recursive: true });
    symlinkSync('releases/1', join(project, 'current'));
    const inFolder = (folder: string): string => join(project, folder, 'ecosystem.config.js');
    writeFileSync(
      inFolder('releases/1'),
      `const { defineSupervisor } = require(${JSON.stringify(join(project, 'backend/ecosystem.cjs'))});
      module.exports = { apps: [defineSupervisor({ file: __filename })] };`,
    );
    if (dotEnv !== '') writeFileSync(join(project, '.env'), `HA_ECOSYSTEM_FILE=${inFolder(dotEnv)}\n`);
    const given = Object.entries(env).map(([name, folder]) => [
      name,
      name === 'PWD' ? join(project, folder) : inFolder(folder),
    ]);
    const { apps } = evaluate('current/ecosystem.config.js', Object.fromEntries(given), words, release);
    expect(apps()[0]?.env['HA_ECOSYSTEM_FILE']).toBe(inFolder(path));
  });

  it('tell the supervisor which file defined it', () => {
    const { supervisor } = appsOf('ecosystem.cluster.config.js');
    expect(supervisor.env['HA_ROOT']).toBe(project);
    expect(supervisor.env['HA_ECOSYSTEM_FILE']).toBe(join(project, 'ecosystem.cluster.config.js'));
    expect(supervisor.env_production['HA_ECOSYSTEM_ENV']).toBe('production');
  });

  it('tell supervisor and gateway which block of the file applies, whatever it is called', () => {
    for (const env of [{}, { HA_ECOSYSTEM_ENV: 'production' }, { HA_ECOSYSTEM_ENV: 'staging' }]) {
      const { supervisor, gateway } = appsOf('ecosystem.cluster.config.js', env);
      for (const app of [supervisor, gateway] as unknown as Record<string, Record<string, string>>[]) {
        expect(app['env']?.['HA_ECOSYSTEM_ENV']).toBe('development');
        expect(app['env_production']?.['HA_ECOSYSTEM_ENV']).toBe('production');
        expect(app['env_staging']?.['HA_ECOSYSTEM_ENV']).toBe(
          env.HA_ECOSYSTEM_ENV === 'staging' ? 'staging' : undefined,
        );
      }
    }
  });

  it('give every instance its own port without putting PORT into what a restart would spread', () => {
    const { backend, frontend } = appsOf('ecosystem.cluster.config.js', {
      START_PORT: '14004',
      FRONTEND_START_PORT: '14100',
    });
    expect([backend.port, frontend.port]).toEqual([14_004, 14_100]);
    expect(backend.env).not.toHaveProperty('PORT');
    expect(frontend.env['BACKEND_URL']).toBe('http://127.0.0.1:14004');
  });

  it('give the gateway its settings, and time to finish what is under way', () => {
    const { gateway } = appsOf('ecosystem.cluster.config.js', {
      BALANCER_PORT: '14003',
      LB_ALGORITHM: 'random',
      GATEWAY_STOP_TIMEOUT: '40000',
      MYSQL_HOST: 'not for the gateway',
    });
    expect(gateway.instances).toBe(1);
    expect(gateway.exec_mode).toBe('fork');
    expect(gateway.kill_timeout).toBe(45_000);
    expect(gateway.env).toMatchObject({ BALANCER_PORT: '14003', LB_ALGORITHM: 'random', HA_ROOT: project });
    expect(gateway.env).not.toHaveProperty('MYSQL_HOST');
    expect(gateway.out_file).toBe(join(project, 'logs/cluster-gateway-out.log'));
  });

  it("route the sample's pages to the frontend, unless the operator says otherwise", () => {
    const { gateway } = appsOf('ecosystem.config.js', { LB_ROUTES: '/=wordpecker-backend' });
    expect(gateway.env['LB_ROUTES']).toBe('/=wordpecker-backend');
    const env = { ...appsOf('ecosystem.config.js').gateway.env, HA_ROOT: project };
    const routing = routingOf(env);
    const poolOf = compileRoutes(routing.routes);
    for (const path of ['/ui', '/app', '/assets/style.css'])
      expect(poolOf.match('any', path)).toBe('wordpecker-frontend');
    for (const path of ['/', '/api/lists', '/ws', '/uint', '/application'])
      expect(poolOf.match('any', path)).toBe('wordpecker-backend');
    const chosen = routingOf({ ...env, LB_ROUTES: '/=wordpecker-backend' });
    expect(chosen.pools.map(({ name }) => name)).toEqual(['wordpecker-backend']);
  });

  it('are lent to the gateway of somebody else as well', () => {
    const file = join(mkdtempSync(join(project, 'elsewhere-')), 'ecosystem.config.js');
    const lend = (options: string): App | undefined => {
      writeFileSync(
        file,
        `const { defineGateway } = require(${JSON.stringify(join(project, 'backend/ecosystem.cjs'))});
        module.exports = { apps: [defineGateway({ file: __filename${options} })] };`,
      );
      return evaluate(relative(project, file)).apps()[0];
    };
    expect(lend('')?.env).not.toHaveProperty('LB_DEFAULT_ROUTES');
    expect(lend(`, routes: '/=api,/ui=web'`)?.env['LB_DEFAULT_ROUTES']).toBe('/=api,/ui=web');
  });

  it('move logs and data where the environment says', () => {
    const { backend } = appsOf('ecosystem.config.js', {
      HA_LOG_DIR: '/somewhere/logs',
      HA_DATA_DIR: join(project, 'elsewhere'),
    });
    expect(backend.out_file).toBe('/somewhere/logs/pm2-backend-out.log');
    expect(backend.env['WORDPECKER_DB']).toBe(join(project, 'elsewhere/wordpecker.db'));
  });
});

describe('the agent', () => {
  const preload = (): string[] => ['--require', join(project, 'backend/preload.cjs')];

  it('is in every instance of a service, and in nothing of Holdfast itself', () => {
    const { supervisor, backend, frontend, gateway } = appsOf('ecosystem.cluster.config.js');
    for (const { node_args, env } of [backend, frontend]) {
      expect(node_args).toEqual(preload());
      expect(env['HOLDFAST_AGENT_SOCKET']).toBe(join(project, 'data/run/agents.sock'));
    }
    for (const { node_args, env } of [supervisor, gateway]) {
      expect(node_args).not.toContain('--require');
      expect(env).not.toHaveProperty('HOLDFAST_AGENT_SOCKET');
    }
    expect(supervisor.env['HA_AGENT_SOCKET']).toBe(backend.env['HOLDFAST_AGENT_SOCKET']);
  });

  it('meets the supervisor where the environment says, also as the supervisor reads the file again', () => {
    const { supervisor, backend } = appsOf('ecosystem.config.js', { HA_AGENT_SOCKET: 'elsewhere/a.sock' });
    expect(backend.env['HOLDFAST_AGENT_SOCKET']).toBe(join(project, 'elsewhere/a.sock'));
    expect(appsOf('ecosystem.config.js', supervisor.env).backend.env['HOLDFAST_AGENT_SOCKET']).toBe(
      backend.env['HOLDFAST_AGENT_SOCKET'],
    );
  });

  describe('where the data directory is too deep for a socket', () => {
    const deep = (letter: string): string => join(project, letter.repeat(110));
    const folderFor = (directory: string): string => {
      const { supervisor, backend } = appsOf('ecosystem.config.js', {
        HA_DATA_DIR: directory,
        TMPDIR: project,
      });
      const socket = backend.env['HOLDFAST_AGENT_SOCKET'] ?? '';
      expect(supervisor.env['HA_AGENT_SOCKET']).toBe(socket);
      expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(103);
      expect(basename(socket)).toBe('agents.sock');
      return dirname(socket);
    };

    it('meets it in a private folder that no name leads to, the same one each time', () => {
      const folder = folderFor(deep('a'));
      expect(folder).toMatch(/\/holdfast-[0-9a-f]{24}$/);
      expect(statSync(folder).mode & 0o777).toBe(0o700);
      expect(statSync(join(deep('a'), 'run/socket-folder')).mode & 0o777).toBe(0o600);
      expect(folderFor(deep('a'))).toBe(folder);
      expect(folderFor(deep('b'))).not.toBe(folder);
      // Nothing but that file tells which one it is.
      rmSync(join(deep('a'), 'run'), { recursive: true });
      expect(folderFor(deep('a'))).not.toBe(folder);
    });

    it('supervisor, gateway and commands find their own socket there, too', () => {
      const folder = folderFor(deep('a'));
      const result = loadConfig({ root: project, env: { HA_DATA_DIR: deep('a') } });
      if (!result.ok) throw new Error(formatProblems(result.problems));
      expect(dirname(result.config.apiSocket)).toBe(folder);
      expect(dirname(result.config.agentSocket)).toBe(folder);
    });

    it('makes the folder again when it was cleared away: instances that live on look there', () => {
      const folder = folderFor(deep('a'));
      rmSync(folder, { recursive: true });
      expect(folderFor(deep('a'))).toBe(folder);
      expect(statSync(folder).mode & 0o777).toBe(0o700);
    });

    it.each<[string, (folder: string) => void]>([
      ['a link', (folder) => symlinkSync(project, folder)],
      ['a file', (folder) => writeFileSync(folder, '')],
      ['a folder that others may write', (folder) => (mkdirSync(folder), chmodSync(folder, 0o777))],
      [
        'the folder of another user (needs root)',
        (folder) => {
          mkdirSync(folder, { mode: 0o700 });
          if (process.getuid?.() === 0) chownSync(folder, 65_534, 65_534);
          else chmodSync(folder, 0o777);
        },
      ],
    ])('takes another one when there is %s in its place', (_what, put) => {
      const folder = folderFor(deep('a'));
      rmSync(folder, { recursive: true });
      put(folder);
      const next = folderFor(deep('a'));
      expect(next).not.toBe(folder);
      expect(folderFor(deep('a'))).toBe(next);
    });
  });

  it.each([
    ['node_args', ['--max-old-space-size=200']],
    ['nodeArgs', '--max-old-space-size=200'],
    ['interpreter_args', ' --max-old-space-size=200 '],
  ])('joins applications of somebody else beside their %s', (key, value) => {
    const file = join(mkdtempSync(join(project, 'elsewhere-')), 'ecosystem.config.js');
    const app = { name: 'my-api', script: 'server.js', env: { OWN: '1' }, [key]: value };
    writeFileSync(
      file,
      `const { withAgent } = require(${JSON.stringify(join(project, 'backend/ecosystem.cjs'))});
      module.exports = { apps: [withAgent(${JSON.stringify(app)})] };`,
    );
    expect(evaluate(relative(project, file)).apps()).toEqual([
      {
        name: 'my-api',
        script: 'server.js',
        node_args: ['--max-old-space-size=200', ...preload()],
        kill_timeout: 10_000,
        env: { OWN: '1', HOLDFAST_AGENT_SOCKET: join(project, 'data/run/agents.sock') },
      },
    ]);
  });

  it('leaves an instance as much time to stop as the supervisor does, and as the application wishes', () => {
    const { supervisor, backend, frontend } = appsOf('ecosystem.config.js', { KILL_TIMEOUT: '25000' });
    expect([backend.kill_timeout, frontend.kill_timeout]).toEqual([25_000, 25_000]);
    expect(supervisor.env['KILL_TIMEOUT']).toBe('25000');
    const file = join(mkdtempSync(join(project, 'elsewhere-')), 'ecosystem.config.js');
    writeFileSync(
      file,
      `const { withAgent } = require(${JSON.stringify(join(project, 'backend/ecosystem.cjs'))});
      module.exports = { apps: [withAgent({ name: 'my-api', script: 'server.js', kill_timeout: 4000 })] };`,
    );
    expect(evaluate(relative(project, file)).apps()[0]?.kill_timeout).toBe(4_000);
  });
});

describe('environments', () => {
  const shell = {
    LC_ALL: 'C.UTF-8',
    AWS_SECRET_ACCESS_KEY: 'not for anybody',
    PORT: '9999',
    NODE_APP_INSTANCE: '3',
    pm_id: '7',
    HA_API_TOKEN: 'only-for-the-supervisor',
    CPU_THRESHOLD_HIGH: '55',
    MYSQL_HOST: 'db.example',
  };

  it('are explicit: an instance sees its own variables and nothing of the shell around', () => {
    const { backend } = appsOf('ecosystem.cluster.config.js', shell);
    expect(backend.env).toMatchObject({ HOME: '/home/someone', LC_ALL: 'C.UTF-8', MYSQL_HOST: 'db.example' });
    for (const name of [
      'AWS_SECRET_ACCESS_KEY',
      'PORT',
      'NODE_APP_INSTANCE',
      'pm_id',
      'HA_API_TOKEN',
      'CPU_THRESHOLD_HIGH',
    ]) {
      expect(backend.env).not.toHaveProperty(name);
    }
  });

  it('bring every variable of the sample to its instances, spelt as it is, from the shell and from .env', () => {
    const sample = {
      JWT_SECRET: 'the secret of the sessions',
      WSSendQPS: '5',
      WSSendBurst: '10',
      MYSQL_PORT: '13306',
      MYSQL_DATABASE: 'kiro_api',
      REDIS_CONN_STRING: 'redis://cache',
    };
    const secret = ['JWT_SECRET', 'REDIS_CONN_STRING'];
    const { backend, supervisor } = appsOf('ecosystem.cluster.config.js', { ...shell, ...sample });
    // What the supervisor starts later, it starts with the same.
    for (const { env } of [backend, supervisor]) {
      for (const [name, value] of Object.entries(sample)) {
        if (secret.includes(name)) expect(readFileSync(env[`${name}_FILE`] ?? '', 'utf8')).toBe(`${value}\n`);
        else expect(env[name]).toBe(value);
      }
    }
    for (const name of ['WSSENDQPS', 'wssendburst', 'WSSendOther']) {
      const { backend } = appsOf('ecosystem.cluster.config.js', { ...shell, [name]: '1' });
      expect(backend.env).not.toHaveProperty(name);
    }
  });

  it('hand the settings of Holdfast to the supervisor', () => {
    const { supervisor } = appsOf('ecosystem.cluster.config.js', shell);
    expect(supervisor.env).toMatchObject({
      HA_API_TOKEN_FILE: join(project, 'data/secrets/environment/HA_API_TOKEN'),
      CPU_THRESHOLD_HIGH: '55',
    });
    expect(readFileSync(supervisor.env['HA_API_TOKEN_FILE'] ?? '', 'utf8')).toBe('only-for-the-supervisor\n');
    for (const name of ['AWS_SECRET_ACCESS_KEY', 'PORT', 'NODE_APP_INSTANCE', 'pm_id']) {
      expect(supervisor.env).not.toHaveProperty(name);
    }
  });

  it('know every setting there is, so that none is silently lost on the way', () => {
    const { SETTING } = createRequire(import.meta.url)(join(root, 'backend/ecosystem.cjs')) as {
      SETTING: RegExp;
    };
    const settings = {
      ...GLOBAL_SETTINGS,
      ...GATEWAY_SETTINGS,
      ...SERVICE_SETTINGS,
      ...ENVIRONMENT_SETTINGS,
    };
    const names = Object.entries(settings).flatMap(([key, { secret }]) => {
      const name = environmentName(key);
      return secret ? [name, `${name}_FILE`] : [name];
    });
    expect(names.filter((name) => !SETTING.test(name))).toEqual([]);
  });

  it('take the samples’ variables from .env, weaker than the environment, and HOST only as an address', () => {
    writeFileSync(
      join(project, '.env'),
      'MYSQL_HOST=from-file\nMYSQL_USER="a b"\nHOST=my-laptop\nSTART_PORT=15004\n',
    );
    const { supervisor, backend } = appsOf('ecosystem.config.js', { MYSQL_HOST: 'from-shell' });
    expect(backend.env).toMatchObject({ MYSQL_HOST: 'from-shell', MYSQL_USER: 'a b' });
    expect(backend.env).not.toHaveProperty('HOST');
    expect(backend.port).toBe(15_004);
    // It reads .env itself; what is handed on could no longer be edited there.
    expect(supervisor.env).not.toHaveProperty('MYSQL_USER');
    expect(appsOf('ecosystem.config.js', { HOST: '0.0.0.0' }).backend.env['HOST']).toBe('0.0.0.0');
  });
});

describe('the session secret', () => {
  it('is made once, kept for the owner only, and the same for all', () => {
    const first = appsOf('ecosystem.config.js');
    const made = readFileSync(join(project, 'data/session-secret'), 'utf8');
    const second = appsOf('ecosystem.cluster.config.js');
    const file = join(project, 'data/session-secret');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(project, 'data')).mode & 0o777).toBe(0o700);
    expect(made.length).toBeGreaterThanOrEqual(32);
    expect(readFileSync(file, 'utf8')).toBe(made);
    for (const { env } of [first.backend, first.frontend, second.backend, second.frontend]) {
      expect(env['SESSION_SECRET_FILE']).toBe(file);
      expect(env).not.toHaveProperty('SESSION_SECRET');
    }
    // They read that file without being told.
    for (const { env } of [first.supervisor, first.gateway]) {
      expect(Object.keys(env).filter((name) => name.startsWith('SESSION_SECRET'))).toEqual([]);
    }
  });

  it('is the configured one where there is one, and then none is made', () => {
    const apps = appsOf('ecosystem.config.js', { SESSION_SECRET: 'configured' });
    for (const { env } of Object.values(apps)) {
      expect(readFileSync(env['SESSION_SECRET_FILE'] ?? '', 'utf8')).toBe('configured\n');
    }
    expect(existsSync(join(project, 'data/session-secret'))).toBe(false);
  });

  it('is never empty because of a damaged file', () => {
    mkdirSync(join(project, 'data'));
    writeFileSync(join(project, 'data/session-secret'), '');
    const run = evaluate('ecosystem.config.js');
    expect(run.status).not.toBe(0);
    expect(run.stderr).toMatch(/session-secret holds 0 characters.*Remove it/);
  });
});

describe('secrets', () => {
  const { SECRETS } = createRequire(import.meta.url)(join(root, 'backend/secretFiles.cjs')) as {
    readonly SECRETS: readonly string[];
  };
  // Of Holdfast, and those that the sample's ecosystem files declare.
  const all = [...SECRETS, 'JWT_SECRET', 'MYSQL_PASSWORD', 'REDIS_CONN_STRING'];
  const secret = (name: string): string => `the secret ${name}`;
  const given = Object.fromEntries(all.map((name) => [name, secret(name)]));

  it('of the shell are in private files, and none is in what PM2 gets', () => {
    const run = evaluate('ecosystem.cluster.config.js', given);
    expect(run.stdout).not.toContain('the secret');
    const [supervisor] = run.apps();
    for (const name of all) {
      const file = supervisor?.env[`${name}_FILE`] ?? '';
      expect([name, readFileSync(file, 'utf8')]).toEqual([name, `${secret(name)}\n`]);
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(statSync(join(file, '..')).mode & 0o777).toBe(0o700);
    }
    // Evaluated again by the supervisor, which has these variables.
    const again = evaluate('ecosystem.cluster.config.js', supervisor?.env).apps();
    const filesOf = ({ env }: App): unknown => Object.entries(env).filter(([name]) => name.endsWith('_FILE'));
    expect(again.map(filesOf)).toEqual(run.apps().map(filesOf));
  });

  it('of .env reach the samples by files of their own, and supervisor and gateway by .env', () => {
    const lines = Object.entries(given).map(([name, value]) => `${name}="${value}"\n`);
    writeFileSync(join(project, '.env'), lines.join(''));
    const run = evaluate('ecosystem.config.js', { MYSQL_PASSWORD: 'of the shell' });
    expect(run.stdout).not.toMatch(/the secret|of the shell/);
    const [supervisor, backend, , gateway] = run.apps();
    const fileOf = (name: string): string => relative(project, backend?.env[`${name}_FILE`] ?? '');
    expect(fileOf('JWT_SECRET')).toBe('data/secrets/dotenv/JWT_SECRET');
    expect(fileOf('MYSQL_PASSWORD')).toBe('data/secrets/environment/MYSQL_PASSWORD');
    expect(readFileSync(join(project, 'data/secrets/dotenv/JWT_SECRET'), 'utf8')).toBe(
      'the secret JWT_SECRET\n',
    );
    const named = (app: App | undefined): string[] =>
      Object.keys(app?.env ?? {}).filter((name) => name.endsWith('_FILE') && name !== 'HA_ECOSYSTEM_FILE');
    expect([named(supervisor), named(gateway)]).toEqual([['MYSQL_PASSWORD_FILE'], []]);
    // One that was changed there reaches what is started next.
    writeFileSync(join(project, '.env'), 'JWT_SECRET=changed\n');
    evaluate('ecosystem.config.js');
    expect(readFileSync(join(project, 'data/secrets/dotenv/JWT_SECRET'), 'utf8')).toBe('changed\n');
  });

  it('that are named by files stay so, and the shell goes before .env by either name', () => {
    writeFileSync(join(project, '.env'), 'MYSQL_PASSWORD=weaker\nJWT_SECRET_FILE=weaker\n');
    const { backend, supervisor } = appsOf('ecosystem.config.js', {
      MYSQL_PASSWORD_FILE: 'secrets/mysql',
      JWT_SECRET: 'stronger',
      HA_API_TOKEN_FILE: '/run/secrets/token',
    });
    expect(backend.env['MYSQL_PASSWORD_FILE']).toBe(join(project, 'secrets/mysql'));
    expect(readFileSync(backend.env['JWT_SECRET_FILE'] ?? '', 'utf8')).toBe('stronger\n');
    expect(backend.env).not.toHaveProperty('MYSQL_PASSWORD');
    expect(supervisor.env['HA_API_TOKEN_FILE']).toBe('/run/secrets/token');
  });

  it.each(['environment', '.env'])('that are given twice in %s are refused', (source) => {
    const twice = { JWT_SECRET: 'x', JWT_SECRET_FILE: '/x' };
    if (source === '.env') writeFileSync(join(project, '.env'), 'JWT_SECRET=x\nJWT_SECRET_FILE=/x\n');
    const run = evaluate('ecosystem.config.js', source === '.env' ? {} : twice);
    expect(run.status).not.toBe(0);
    expect(run.stderr).toMatch(/JWT_SECRET and JWT_SECRET_FILE are both set in .*; set one of the two/);
  });

  it('stay as they were started with when a shell only looks, or stops what runs', async () => {
    evaluate('ecosystem.config.js', given);
    const file = join(project, 'data/secrets/environment/HA_API_TOKEN');
    evaluate('ecosystem.config.js', { HA_API_TOKEN: 'of a guess' }, ['delete']);
    vi.stubEnv('HA_API_TOKEN', 'of a guess');
    const ecosystem = { file: join(project, 'ecosystem.config.js'), pm2Home: join(project, 'pm2') };
    const looked = await loadEcosystem(ecosystem).finally(() => vi.unstubAllEnvs());
    expect(readFileSync(file, 'utf8')).toBe('the secret HA_API_TOKEN\n');
    const env = looked.find(({ name }) => name === 'ha-supervisor')?.definition?.env;
    expect(env?.['HA_API_TOKEN_FILE']).toBe(file);
    // Without PM2 in between there is nothing to hide them from.
    vi.stubEnv('JWT_SECRET', 'of this shell');
    const group = await loadEcosystem({ ...ecosystem, readFor: 'cluster' }).finally(() => vi.unstubAllEnvs());
    const sample = group.find(({ name }) => name === 'wordpecker-backend')?.definition?.env;
    expect(sample?.['JWT_SECRET']).toBe('of this shell');
    expect(sample).not.toHaveProperty('JWT_SECRET_FILE');
  });
});

describe('what cannot work is refused in words', () => {
  it('names what to run when the build is missing', () => {
    rmSync(join(project, 'backend/dist'), { recursive: true });
    const run = evaluate('ecosystem.cluster.config.js');
    expect(run.status).not.toBe(0);
    expect(run.stderr).toContain('backend/dist/supervisor.js, backend/dist/gateway.js are missing');
    expect(run.stderr).toContain(`cd ${project} && npm ci && npm run build`);
    expect(run.stderr).not.toContain('    at ');
  });

  it('still lets applications be removed without a build', () => {
    rmSync(join(project, 'backend/dist'), { recursive: true });
    expect(evaluate('ecosystem.cluster.config.js', {}, ['delete']).status).toBe(0);
  });

  it.each(['0', '65536', 'http', '13004.5'])('START_PORT=%s', (value) => {
    const run = evaluate('ecosystem.config.js', { START_PORT: value });
    expect(run.status).not.toBe(0);
    expect(run.stderr).toContain(`START_PORT is "${value}"; it must be a port, 1 to 65535.`);
  });
});
