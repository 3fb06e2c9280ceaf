import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { loadConfig } from './load.js';
import { formatProblems } from './problems.js';
import {
  ENVIRONMENT_SETTINGS,
  environmentName,
  GLOBAL_SETTINGS,
  SERVICE_ONLY_SETTINGS,
  SERVICE_SETTINGS,
  TOP_LEVEL_GROUPS,
} from './schema.js';
import { commentedConfig, configurationTable } from './table.js';

const repositoryFile = (name: string): string =>
  readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8');

const topLevel = { ...GLOBAL_SETTINGS, ...GATEWAY_SETTINGS, ...SERVICE_SETTINGS };

describe('the registry', () => {
  it('has every setting in exactly one group', () => {
    const grouped = TOP_LEVEL_GROUPS.flatMap(({ settings }) => Object.keys(settings));
    expect(grouped.toSorted()).toEqual(Object.keys(topLevel).toSorted());
  });

  it('has defaults that it would accept itself, as they are documented', () => {
    const all = { ...topLevel, ...SERVICE_ONLY_SETTINGS, ...ENVIRONMENT_SETTINGS };
    for (const [key, { kind, default: standard }] of Object.entries(all)) {
      if (standard === null) continue;
      const shown = (kind.format as (value: unknown) => string)(standard);
      const read = kind.schema.safeParse(shown);
      expect({ key, read: read.data }).toEqual({ key, read: standard });
    }
  });

  it('names variables mechanically', () => {
    expect(environmentName('cpuThresholdHigh')).toBe('CPU_THRESHOLD_HIGH');
    expect(environmentName('pm2Home')).toBe('PM2_HOME');
    expect(environmentName('haApiToken')).toBe('HA_API_TOKEN');
  });
});

describe('documentation', () => {
  it('names every setting', () => {
    const table = configurationTable();
    for (const [key, { secret }] of Object.entries(topLevel)) {
      const variable = environmentName(key);
      const names = secret
        ? `| \`${key}\`, \`${key}File\` | \`${variable}\`, \`${variable}_FILE\` |`
        : `| \`${key}\` | \`${variable}\` |`;
      expect(table).toContain(names);
    }
    for (const key of Object.keys(SERVICE_ONLY_SETTINGS)) expect(table).toContain(`| \`${key}\` |`);
    for (const key of Object.keys(ENVIRONMENT_SETTINGS))
      expect(table).toContain(`| \`${environmentName(key)}\` |`);
  });

  it('is in step with the registry: config.example.yml', () => {
    // Out of step? npm run docs
    expect(repositoryFile('config.example.yml')).toBe(commentedConfig());
  });
});

describe('config.example.yml as delivered', () => {
  const load = (yaml: string) => {
    const root = mkdtempSync(join(tmpdir(), 'holdfast-delivered-'));
    try {
      writeFileSync(join(root, 'config.yml'), yaml);
      const result = loadConfig({ root, env: { HOME: '/home/somebody' } });
      if (!result.ok) throw new Error(formatProblems(result.problems));
      const { values, services } = result.config;
      return { values: [...values].filter(([key]) => !key.startsWith('services.')), services };
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  };

  it('changes nothing as it is, and shows the defaults', () => {
    const nothing = load('');
    expect(load(commentedConfig())).toEqual(nothing);
    const uncommented = commentedConfig().replace(/^#(?=\w+:| {2}\S| {4}\S)/gm, '');
    expect(uncommented).toContain('\ncpuThresholdHigh: 80\n');
    const { values, services } = load(uncommented);
    expect(values).toEqual(nothing.values);
    expect([...services.keys()]).toEqual(['my-api']);
  });
});
