/**
 * Settings come, weakest first, from defaults, config.yml, .env and the environment; what config.yml says of one
 * service is stronger than any global value for it, wherever that came from. All problems of all sources are found
 * before anything is refused, also in values that a stronger source overrides.
 */
import { homedir } from 'node:os';
import { join, relative, resolve } from 'node:path';

import { apiBounds, type ApiBounds } from './apiSchema.js';
import { SERVICE_RULES, serviceWarnings, weaknesses, withoutToken } from './checks.js';
import { GATEWAY_RULES, gatewayConfig, type GatewayConfig } from './gateway.js';
import { GATEWAY_SETTINGS, type GatewayValues } from './gatewaySchema.js';
import { absolutePath, ecosystemFile } from './places.js';
import { healthPolicy } from './policy.js';
import { explainRefusal, showValue, type Problem } from './problems.js';
import {
  ENVIRONMENT_SETTINGS,
  type EnvironmentValues,
  GLOBAL_SETTINGS,
  SERVICE_SETTINGS,
  type GlobalValues,
  type ServiceOverrides,
  type ServiceValues,
  type Registry,
} from './schema.js';
import { secretTextsIn } from './secretTexts.js';
import { findSocketFolder } from './socketFolder.js';
import type { Mention } from './unused.js';
import { readDotEnvFile, readEnvironment, readYamlFile, type Entry, type Reading } from './sources.js';

/** The configuration of supervisor and gateway; immutable. Paths are absolute. */
export interface Config {
  readonly root: string;
  readonly configFile: string;
  readonly dotEnvFile: string;
  readonly host: string;
  readonly port: number;
  /** Names beside the bound address under which the API may be addressed. */
  readonly allowedHosts: readonly string[];
  readonly apiToken: string | null;
  readonly sessionSecret: string | null;
  readonly ecosystemFile: string;
  readonly ecosystemEnv: string;
  readonly dataDir: string;
  readonly apiLimits: ApiBounds;
  /** Where programs of the supervisor's own user call its API. */
  readonly apiSocket: string;
  /** Where agents find the supervisor. The ecosystem files settle it for both sides (backend/ecosystem.cjs). */
  readonly agentSocket: string;
  readonly logDir: string;
  readonly pm2Home: string;
  readonly pm2Bin: string | null;
  readonly defaultService: string | null;
  readonly observeIntervalMs: number;
  readonly logLevel: GlobalValues['logLevel'];
  readonly logMaxBytes: number;
  readonly logMaxAgeDays: number;
  readonly logGroupRead: boolean;
  readonly blackBoxMaxEntries: number;
  readonly blackBoxMaxBytes: number;
  readonly notifyWebhookUrl: string | null;
  /** First port of what `npm run cluster` starts; null: the service's own. */
  readonly startPort: number | null;
  /** How many instances `npm run cluster` starts. */
  readonly instanceCount: number;
  readonly gateway: GatewayConfig;
  /** What holds for a service that config.yml says nothing about. */
  readonly serviceDefaults: ServiceValues;
  /** Services that config.yml declares, with what it says of each, maybe nothing. Policies are built by `servicePolicy`. */
  readonly services: ReadonlyMap<string, ServiceOverrides>;
  /** The settings and other known variables that are set, and where: a stronger source after a weaker one. */
  readonly mentions: readonly Mention[];
  /** The values of all settings that are secret. */
  readonly secrets: readonly string[];
  /** Every value by its dotted key, to find what a reload changed. Contains secrets. */
  readonly values: ReadonlyMap<string, unknown>;
}

export type LoadResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | {
      readonly ok: false;
      readonly problems: readonly Problem[];
      readonly warnings: readonly string[];
      /** What is left without the values that are wrong. To look and to stop with, never to start anything with. */
      readonly remains: Config;
    };

export interface LoadOptions {
  /** Project folder; HA_ROOT in `env` goes before it. */
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Reads and judges everything. Never throws. */
export function loadConfig({ root: givenRoot, env }: LoadOptions): LoadResult {
  const root = resolve(env['HA_ROOT'] || givenRoot);
  const configFile = resolve(root, env['HA_CONFIG'] || ENVIRONMENT_SETTINGS.haConfig.default);
  const dotEnvFile = join(root, '.env');
  const inRoot = relative(root, configFile);
  const label = inRoot.startsWith('..') ? configFile : inRoot;

  const home = env['HOME'] || homedir();
  const place = (path: string): string => absolutePath(path, root, home);
  const readings = [
    readYamlFile(configFile, label, Boolean(env['HA_CONFIG']), place),
    readDotEnvFile(dotEnvFile, place),
    readEnvironment(env, place),
  ];
  const merged = new Merged();
  for (const { services, entries, problems, others } of readings) {
    merged.others.push(...others);
    merged.problems.push(...problems);
    for (const service of services) merged.services.set(service, {});
    for (const entry of entries) merged.take(entry);
  }
  merged.checkRules();

  const warnings = readings.flatMap((reading) => reading.warnings);
  const files = { root, configFile, dotEnvFile };
  if (merged.problems.length > 0) {
    const remains = buildConfig(files, whatRemains(readings), home);
    return { ok: false, problems: merged.problems, warnings, remains };
  }
  const config = buildConfig(files, merged, home);
  const { serviceDefaults, services } = config;
  const doubtful = [...weaknesses(config), ...serviceWarnings(serviceDefaults, services)];
  return { ok: true, config, warnings: [...warnings, ...doubtful] };
}

/** Every value that is right by itself, also of a file that is not valid as a whole. */
function whatRemains(readings: readonly Reading[]): Merged {
  const merged = new Merged();
  for (const { services, entries, salvaged } of readings) {
    for (const service of services) merged.services.set(service, {});
    for (const entry of [...entries, ...salvaged]) merged.take(entry);
  }
  return merged;
}

interface Origin {
  readonly name: string;
  readonly source: string;
}

const dotted = (key: string, service: string | null): string =>
  service === null ? key : `services.${service}.${key}`;

function defaultsOf<T>(registry: Registry): T {
  return Object.fromEntries(Object.entries(registry).map(([key, setting]) => [key, setting.default])) as T;
}

/** What all sources together say, and what is wrong with it. */
class Merged {
  readonly problems: Problem[] = [];
  readonly services = new Map<string, ServiceOverrides>();
  /** Known variables that are not settings. */
  readonly others: Mention[] = [];
  readonly #global = new Map<string, unknown>();
  readonly #origins = new Map<string, Origin>();
  /** Dotted keys with a value that is not usable: rules about them would only confuse. */
  readonly #bad = new Set<string>();
  /** Texts of the settings that are secret, as they were written and in their parts. */
  readonly secrets: string[] = [];

  /** Later entries are stronger. */
  take({ key, service, setting, value, name, source }: Entry): void {
    const place = dotted(key, service);
    const parsed = setting.kind.schema.safeParse(value);
    if (!parsed.success) {
      this.problems.push({
        source,
        key: name,
        value: showValue(value, setting.secret),
        allowed: explainRefusal(setting, value),
      });
      this.#bad.add(place);
      return;
    }
    this.#origins.set(place, { name, source });
    if (setting.secret) this.secrets.push(...secretTextsIn(parsed.data));
    if (service === null) this.#global.set(key, parsed.data);
    else this.services.set(service, { ...this.services.get(service), [key]: parsed.data });
  }

  /** Settings at the top level and other known variables, where they were set last. */
  get mentions(): readonly Mention[] {
    const settings = [...this.#origins].filter(([place]) => !place.includes('.'));
    return [...settings.map(([key, { name, source }]) => ({ key, name, source })), ...this.others];
  }

  /** Whether the setting at the top level has a value of its own, and not its default. */
  readonly isSet = (key: string): boolean => this.#global.has(key);

  globalValues(): GlobalValues {
    return this.#over(defaultsOf<GlobalValues>(GLOBAL_SETTINGS));
  }

  environmentValues(): EnvironmentValues {
    return this.#over(defaultsOf<EnvironmentValues>(ENVIRONMENT_SETTINGS));
  }

  serviceDefaults(): ServiceValues {
    const autoscale = this.environmentValues().haDefaultAutoscale;
    return this.#over({ ...defaultsOf<ServiceValues>(SERVICE_SETTINGS), autoscale });
  }

  gatewayValues(): GatewayValues {
    return this.#over(defaultsOf<GatewayValues>(GATEWAY_SETTINGS));
  }

  #over<T extends object>(defaults: T): T {
    const entries = Object.entries(defaults).map(([key, value]) => [
      key,
      this.#global.has(key) ? this.#global.get(key) : value,
    ]);
    return Object.fromEntries(entries) as T;
  }

  checkRules(): void {
    this.#checkToken();
    const defaults = this.serviceDefaults();
    this.#checkService(null, defaults, {});
    for (const [service, overrides] of this.services) {
      this.#checkService(service, { ...defaults, ...overrides }, overrides);
    }
    this.#checkPorts(defaults.portCount);
    this.#checkGateway();
  }

  #checkGateway(): void {
    const values = this.gatewayValues();
    for (const { blames, inViewOf, holds, allowed } of GATEWAY_RULES) {
      const unusable = [blames, ...inViewOf].some((key) => this.#bad.has(key));
      if (unusable || holds(values, this.isSet)) continue;
      const value = values[blames];
      const shown = typeof value === 'number' ? value : GATEWAY_SETTINGS[blames].kind.format(value);
      this.#blame(blames, null, shown, allowed(values, this.isSet));
    }
  }

  #checkToken(): void {
    if (this.#bad.has('haApiToken')) return;
    const missing = withoutToken(this.globalValues(), this.gatewayValues());
    for (const { key, value, allowed } of missing) this.#blame(key, null, value, allowed);
  }

  #checkService(service: string | null, values: ServiceValues, overrides: ServiceOverrides): void {
    for (const { blames, inViewOf, holds, allowed } of SERVICE_RULES) {
      const keys = [blames, ...inViewOf];
      const concerned = service === null || keys.some((key) => Object.hasOwn(overrides, key));
      const unusable = keys.some((key) => this.#bad.has(key) || this.#bad.has(dotted(key, service)));
      if (!concerned || unusable || holds(values)) continue;
      const blamedService = Object.hasOwn(overrides, blames) ? service : null;
      const suffix = service !== null && blamedService === null ? ` of service ${service}` : '';
      this.#blame(blames, blamedService, values[blames], allowed(values) + suffix);
    }
  }

  /** Ranges that config.yml itself lays over one another, or over the last port there is. */
  #checkPorts(standardCount: number): void {
    const ranges: { service: string; first: number; last: number }[] = [];
    for (const [service, { startPort, portCount = standardCount }] of this.services) {
      if (startPort === undefined || startPort === null) continue;
      const range = { service, first: startPort, last: startPort + portCount - 1 };
      if (range.last > 65_535) {
        const allowed = `at most ${65_535 - portCount + 1}: its ${portCount} ports (portCount) would end at ${range.last}`;
        this.#blame('startPort', service, startPort, allowed);
      }
      const other = ranges.find(({ first, last }) => range.first <= last && first <= range.last);
      if (other !== undefined) {
        const taken = `${other.first} to ${other.last}`;
        this.#blame(
          'startPort',
          service,
          startPort,
          `a port range apart from that of ${other.service} (${taken})`,
        );
      }
      ranges.push(range);
    }
  }

  #blame(key: string, service: string | null, value: unknown, allowed: string): void {
    const place = dotted(key, service);
    const origin = this.#origins.get(place) ?? { name: place, source: 'default' };
    this.problems.push({ source: origin.source, key: origin.name, value: showValue(value, false), allowed });
  }
}

function buildConfig(
  files: Pick<Config, 'root' | 'configFile' | 'dotEnvFile'>,
  merged: Merged,
  home: string,
): Config {
  const global = merged.globalValues();
  const serviceDefaults = merged.serviceDefaults();
  const gateway = merged.gatewayValues();
  const environment = merged.environmentValues();
  const absolute = (path: string): string => absolutePath(path, files.root, home);
  const dataDir = absolute(global.haDataDir);
  const sockets = findSocketFolder(dataDir);
  return {
    ...files,
    host: global.haHost,
    port: global.haPort,
    allowedHosts: global.haAllowedHosts ?? [],
    apiToken: global.haApiToken,
    sessionSecret: global.sessionSecret,
    ecosystemFile: ecosystemFile(absolute(global.haEcosystemFile), merged.isSet('haEcosystemFile')),
    ecosystemEnv: global.haEcosystemEnv,
    dataDir,
    apiLimits: apiBounds(global),
    apiSocket: join(sockets, `api-${global.haPort}.sock`),
    agentSocket: absolute(environment.haAgentSocket ?? join(sockets, 'agents.sock')),
    logDir: absolute(global.haLogDir),
    pm2Home: absolute(global.pm2Home),
    pm2Bin: global.pm2Bin === null ? null : absolute(global.pm2Bin),
    defaultService: global.defaultService,
    observeIntervalMs: global.observeInterval,
    logLevel: global.logLevel,
    logMaxBytes: global.logMaxSize,
    logMaxAgeDays: global.logMaxAge,
    logGroupRead: global.logGroupRead,
    blackBoxMaxEntries: global.blackBoxMaxEntries,
    blackBoxMaxBytes: global.blackBoxMaxSize,
    notifyWebhookUrl: global.notifyWebhookUrl,
    startPort: merged.isSet('startPort') ? environment.startPort : null,
    instanceCount: environment.instanceCount,
    gateway: gatewayConfig({
      values: gateway,
      global,
      environment,
      isSet: merged.isSet,
      check: healthPolicy(serviceDefaults),
      absolute,
    }),
    serviceDefaults,
    services: merged.services,
    mentions: merged.mentions,
    secrets: merged.secrets,
    values: flatten({ ...global, ...gateway, ...serviceDefaults }, merged.services),
  };
}

function flatten(
  global: Readonly<Record<string, unknown>>,
  services: ReadonlyMap<string, ServiceOverrides>,
): ReadonlyMap<string, unknown> {
  const values = new Map(Object.entries(global));
  for (const [service, overrides] of services) {
    values.set(`services.${service}`, 'declared');
    for (const [key, value] of Object.entries(overrides)) values.set(dotted(key, service), value);
  }
  return values;
}
