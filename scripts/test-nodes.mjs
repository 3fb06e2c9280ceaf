#!/usr/bin/env node
/**
 * Tests this checkout on every Node.js that is supported, one after the other (nodes.mjs says where they come from).
 *
 * Two steps a version. `unit`: the unit tests and the simulation. `smoke`: the integration tests that start a deployment (PM2's
 * daemon, supervisor, gateway and samples on that Node, on free ports and in temporary folders), serve, scale, kill, hang,
 * fail over, deploy and stop it, and those of the agent, which depends on Node's insides most. What a step prints goes to
 * run/nodes/<version>/<step>.log.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { folderOf, nodeOf } from './nodes.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SUPPORTED = ['20', '22', '24', '26'];

const integration = (name) => `test/integration/${name}.test.ts`;
const STEPS = {
  unit: ['--project', 'unit', '--project', 'simulation'],
  smoke: ['pm2/cli.deployment', 'agent/hang', 'agent/figures'].map(integration),
};

const usage = `Usage: npm run test:nodes -- [VERSION…] [--only unit|smoke] [--update]

Runs the unit tests and a smoke test on Node.js ${SUPPORTED.join(', ')}, or on the given versions (24, 24.21.0).

  --only STEP   one of the two steps
  --update      install the newest release of each version, also where one is there
  --help        this text`;

/** Runs a step on that Node. The counts are those of the tests themselves. */
async function run(step, { program }, folder) {
  const results = join(folder, `${step}.json`);
  const log = join(folder, `${step}.log`);
  rmSync(results, { force: true });
  const startedAtMs = performance.now();
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const code = await spawned(program, [vitest, 'run', ...STEPS[step], ...reporters], log, {
    ...process.env,
    // Everything that the tests start is this Node, too: npm, PM2, the services.
    PATH: `${dirname(program)}${delimiter}${process.env.PATH}`,
  });
  const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
  return { step, log, seconds, ...outcomeOf(results, code) };
}

function spawned(program, args, log, env) {
  return new Promise((resolve) => {
    const out = createWriteStream(log);
    const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(out, { end: false });
    child.stderr.pipe(out, { end: false });
    child.once('error', () => resolve(1));
    child.once('close', (code) => out.end(() => resolve(code ?? 1)));
  });
}

function outcomeOf(results, code) {
  if (!existsSync(results)) return { passed: 0, failures: ['no test ran'] };
  const { numPassedTests: passed, testResults } = JSON.parse(readFileSync(results, 'utf8'));
  const failures = testResults.flatMap(({ name, status, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === 'failed');
    if (status === 'failed' && failed.length === 0) return [`${relative(root, name)}: could not be run`];
    return failed.map(({ fullName }) => `${relative(root, name)}: ${fullName}`);
  });
  return { passed, failures: code === 0 || failures.length > 0 ? failures : [`vitest ended with ${code}`] };
}

async function testOn(wanted, steps, update) {
  const outcomes = [];
  let node;
  try {
    node = nodeOf(wanted, update);
  } catch (error) {
    console.error(error.message);
    return { name: `Node ${wanted}`, outcomes, isPassed: false };
  }
  for (const step of steps) {
    const outcome = await run(step, node, folderOf(wanted));
    outcomes.push(outcome);
    console.log(`Node ${node.version}  ${describe(outcome)}`);
    for (const failure of outcome.failures.slice(0, 20)) console.log(`    ✗ ${failure}`);
    if (outcome.failures.length > 0) console.log(`    whole output: ${relative(root, outcome.log)}`);
  }
  const isPassed = outcomes.every(({ passed, failures }) => passed > 0 && failures.length === 0);
  return { name: `Node ${node.version}`, outcomes, isPassed };
}

function describe({ step, passed, failures, seconds }) {
  return `${step} ${passed} passed, ${failures.length} failed in ${seconds} s`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, update: { type: 'boolean' }, help: { type: 'boolean' } },
});
if (values.help) {
  console.log(usage);
} else if (values.only !== undefined && !(values.only in STEPS)) {
  console.error(`--only takes ${Object.keys(STEPS).join(' or ')}, not "${values.only}".`);
  process.exitCode = 2;
} else {
  const rows = [];
  const steps = values.only === undefined ? Object.keys(STEPS) : [values.only];
  for (const version of positionals.length > 0 ? positionals : SUPPORTED) {
    rows.push(await testOn(version, steps, values.update));
  }
  console.log('');
  for (const { name, outcomes, isPassed } of rows) {
    const what = outcomes.length > 0 ? outcomes.map(describe).join('; ') : 'could not be installed';
    console.log(`${isPassed ? 'ok  ' : 'FAIL'}  ${name.padEnd(14)}  ${what}`);
  }
  process.exitCode = rows.every(({ isPassed }) => isPassed) ? 0 : 1;
}
