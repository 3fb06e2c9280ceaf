/** What the commands know of the sample that comes with Holdfast; the product itself knows nothing of it. */
import { dirname } from 'node:path';
import type { Config } from '../config/load.js';

interface SampleService {
  /** What chooses its first port. */
  readonly portSetting: string;
  /** What to open. */
  readonly page: { readonly label: string; readonly path: string };
}

const SAMPLE: Readonly<Record<string, SampleService>> = {
  'wordpecker-frontend': {
    portSetting: 'FRONTEND_START_PORT',
    page: { label: 'Word lists', path: '/ui' },
  },
  'wordpecker-backend': {
    portSetting: 'START_PORT',
    page: { label: 'Backend API', path: '/api/status' },
  },
};

/** The deployments that come with Holdfast lie in its own folder. */
export function isSampleDeployment({ root, ecosystemFile }: Config): boolean {
  return dirname(ecosystemFile) === root;
}

export function samplePortSetting(config: Config, name: string): string | null {
  return isSampleDeployment(config) ? (SAMPLE[name]?.portSetting ?? null) : null;
}

export function samplePage(name: string): SampleService['page'] | null {
  return SAMPLE[name]?.page ?? null;
}
