/** `npm run bench -- NAME [options]`: measurements beside peers, in the same run on the same machine. */
import { parseArgs } from 'node:util';
import { disposeAll } from './supervisor/deployment.js';
import { PARTS, runSupervisorBench, type Part } from './supervisor/run.js';

const usage = `Usage: npm run bench -- supervisor [--only cpu|scale|rolling]... [--quick]

  supervisor   CPU and memory of the supervisor, time of scale +1 to serving, a rolling replacement; beside PM2

  --only PART  only this part; may be given several times
  --quick      a few minutes less of it: to see that it works, not to quote
  --help       this text

Linux only. Everything runs under temporary PM2 homes and is gone afterwards. Exits with 1 when a target is missed,
with 2 when it could not be measured. What was not --quick is kept in bench/results/supervisor.json.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const [name, ...rest] = positionals;
  const parts = [...new Set(values.only ?? PARTS)];
  const unknown = parts.find((part) => !PARTS.includes(part as Part));
  if (name !== 'supervisor' || rest.length > 0 || unknown !== undefined) {
    const problem = unknown === undefined ? 'Name one bench: supervisor.' : `There is no part "${unknown}".`;
    console.error(`${problem}\n\n${usage}`);
    return 2;
  }
  const met = await runSupervisorBench({ parts: parts as Part[], quick: values.quick });
  return met ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.error('Interrupted: ending what was started …');
    void disposeAll().finally(() => process.exit(2));
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  },
);
