/** The documentation that follows from the registry: Markdown tables and config.example.yml. */
import { markdownTable } from '../lib/markdown.js';
import {
  ENVIRONMENT_SETTINGS,
  environmentName,
  SERVICE_ONLY_SETTINGS,
  TOP_LEVEL_GROUPS,
  type Registry,
  type Setting,
} from './schema.js';

function defaultOf({ kind, default: standard }: Setting<unknown>): string | null {
  return standard === null ? null : kind.format(standard);
}

/** What names a file with the value of a secret; none for other settings. */
const fileNames = (key: string, { secret }: Setting<unknown>, isVariable: boolean): string[] =>
  secret ? [isVariable ? `${environmentName(key)}_FILE` : `${key}File`] : [];

const inCode = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');

const traitsOf = ({ live, secret }: Setting<unknown>): string =>
  `${live ? '' : ' Applies at the next start.'}${secret ? ' Never shown.' : ''}`;

function tableOf(
  settings: Registry,
  columns: { readonly file: boolean; readonly environment: boolean },
): string {
  const rows = Object.entries(settings).map(([key, setting]) => {
    const standard = defaultOf(setting);
    return [
      ...(columns.file ? [inCode([key, ...fileNames(key, setting, false)])] : []),
      ...(columns.environment ? [inCode([environmentName(key), ...fileNames(key, setting, true)])] : []),
      standard === null ? 'unset' : `\`${standard}\``,
      `${setting.doc} Allowed: ${setting.kind.allowed}.${traitsOf(setting)}`,
    ];
  });
  const headings = [
    ...(columns.file ? ['config.yml'] : []),
    ...(columns.environment ? ['environment'] : []),
    'default',
    'meaning',
  ];
  return markdownTable(headings, rows);
}

/** Every setting as Markdown, a section for each group. */
export function configurationTable(): string {
  const both = { file: true, environment: true };
  const sections = [
    ...TOP_LEVEL_GROUPS.map(({ title, settings }) => `## ${title}\n\n${tableOf(settings, both)}`),
    `## Only under \`services.<name>\`\n\n${tableOf(SERVICE_ONLY_SETTINGS, { file: true, environment: false })}`,
    `## Only in the environment\n\n${tableOf(ENVIRONMENT_SETTINGS, { file: false, environment: true })}`,
  ];
  return sections.join('\n\n');
}

const YAML_HEAD = `# All settings of Holdfast. It reads config.yml, which git does not track. Begin with a copy of this file, or with an
# empty config.yml and the lines that you want:
#
#     cp config.example.yml config.yml
#
# A line that is commented out shows the default. Changes apply while Holdfast runs, unless the logs say otherwise.
# Stronger than config.yml are .env and, above it, the environment: there, cpuThresholdHigh is CPU_THRESHOLD_HIGH.
# What is said of one service (at the end) is stronger than any value for all services, wherever that comes from.
# Durations are milliseconds. A mistake changes nothing: every problem is reported, by key, before anything starts.
`;

const YAML_SERVICES = `# ── One service ──────────────────────────────────────────────────────────────────────────────────────────────────

# By its name in PM2: any of the settings of services above, and startPort, the first port of its range (unset: its
# PORT in the ecosystem file). A service named here that is not in the ecosystem file is adopted when PM2 runs it.
#services:
#  my-api:
#    maxInstances: 8
#    healthPath: /health
`;

/** config.example.yml, which people copy to config.yml: every setting explained, every default commented out. */
export function commentedConfig(): string {
  const sections = TOP_LEVEL_GROUPS.map(({ title, settings }) => {
    const heading = `# ── ${title} ${'─'.repeat(110 - title.length)}`;
    const entries = Object.entries(settings).map(([key, setting]) => {
      const standard = defaultOf(setting);
      const unset = standard === null ? ' Default: unset.' : '';
      const line = standard === null ? `#${key}:` : `#${key}: ${standard}`;
      const orFile = fileNames(key, setting, false).map((name) => ` Or ${name}: the path of a file with it.`);
      return `# ${setting.doc}${unset}\n# Allowed: ${setting.kind.allowed}.${orFile.join('')}\n${line}`;
    });
    return [heading, ...entries].join('\n\n');
  });
  return `${[YAML_HEAD, ...sections.map((section) => `${section}\n`), YAML_SERVICES].join('\n')}`;
}
