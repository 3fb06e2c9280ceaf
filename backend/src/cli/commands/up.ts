/**
 * `npm start`: from whatever state the deployment is in to one that serves. Running it on a deployment that already
 * runs changes nothing: it checks, and says where everything is.
 */
import { HoldfastError } from '../../domain/errors.js';
import { addressHint, isKeyedByAddress } from '../../domain/upstreams/pool.js';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parse, seconds, type Command } from '../command.js';
import { instancesStarted } from '../../adapters/pm2/appDefinition.js';
import { servicePolicy } from '../../config/policy.js';
import { unusedSettings } from '../../config/unused.js';
import { withEcosystem, type CliContext } from '../context.js';
import { awaitHealthy, isHealthy } from '../awaitHealthy.js';
import { awaitSupervisor } from '../deployment.js';
import { definedApps, GATEWAY_NAME, isService, readEcosystem, type DefinedApp } from '../ecosystemFile.js';
import { requireEcosystemFile } from '../firstFile.js';
import { headLines, serviceLines } from '../render.js';
import { holdfast, npm } from '../invocation.js';
import { awaitGateway, gatewayUrl, isAnswered } from '../gatewayCheck.js';
import { isPortFree, requireFreePorts } from '../portCheck.js';
import { describeOther, separate, supervised } from '../ownApps.js';
import type { Pm2App } from '../pm2Command.js';
import { findRunning, requireOwn } from '../running.js';
import { stopApps } from '../stopApps.js';
import { compare, refusals, requireWritableFolders, sayStarted, startMissing } from '../startApps.js';
import { duration } from '../terminal.js';

export const up: Command = {
  summary: 'start everything through PM2 and wait until it serves (npm start)',
  usage: `Usage: npm start [-- options]
       npx holdfast up [options]

Starts the applications of the ecosystem file (ecosystem.cluster.config.js, or, where there is none, ecosystem.config.js or
ecosystem.config.cjs) through PM2 and waits until every service is healthy.
What already runs is left alone; run twice it is harmless. Where Holdfast runs already with another ecosystem file, of another
project folder or under another PM2, nothing is started, and what to do is printed.

    npm start -- --standard

  --standard         those of ecosystem.config.js; in a clone the standard deployment: one instance each, no autoscaling
  --replace          stop what this project runs with another ecosystem file, and start this instead
  --services-only    the services through PM2, without supervisor and gateway
  --timeout SECONDS  how long to wait for healthy services (default 60)
  --help             this text`,

  async run(args, context) {
    const values = parse(args, {
      standard: { type: 'boolean', default: false },
      'services-only': { type: 'boolean', default: false },
      replace: { type: 'boolean', default: false },
      timeout: { type: 'string', default: '60' },
    });
    for (const unused of unusedSettings(context.config, 'up', false)) context.terminal.warning(unused);
    const timeoutMs = seconds('timeout', values.timeout) * 1_000;
    const chosen = values.standard
      ? withEcosystem(context, join(context.config.root, 'ecosystem.config.js'))
      : context;
    requireEcosystemFile(chosen);
    await makeRoom(chosen, values.replace, `up${values.standard ? ' --standard' : ''} --replace`);
    return values['services-only'] ? startServices(chosen, timeoutMs) : startAll(chosen, timeoutMs);
  },
};

/**
 * Looks what runs already.
 * @throws HoldfastError `deployment.other` when that is something else, unless it is this project's and to be replaced.
 */
async function makeRoom(context: CliContext, replace: boolean, command: string): Promise<void> {
  // The ecosystem file itself keeps a secret in the data folder, and would blame that.
  requireWritableFolders(context);
  const apps = await readEcosystem(context.config);
  const names = apps.map(({ name }) => name);
  const rows = await context.pm2.list();
  const running = await findRunning(context, rows, names);
  if (!replace || running.kind !== 'changed') return requireOwn(context, running, command);
  const former = running.file === null ? [] : await definedApps(context, running.file);
  const { own: ofFormer } = await separate(rows, former, await supervised(context));
  // A service that both files define goes on, and the new supervisor takes it over.
  const isGone = (row: Pm2App): boolean =>
    !isService(row) || (ofFormer.includes(row) && !names.includes(row.name));
  await stopApps(context, rows.filter(isGone));
}

/** Starts what is missing, waits until it serves, says where everything is. @returns the exit code. */
export async function startAll(context: CliContext, timeoutMs: number): Promise<number> {
  const { terminal, config } = context;
  const defined = await readEcosystem(config);
  const { changed, refused } = await bringUp(context, defined, true);
  await awaitSupervisor(context, timeoutMs);
  if (!changed) terminal.done('Already running; nothing to start.');
  const { status, waitedMs } = await awaitHealthy(context, timeoutMs);
  // One that has nowhere to send requests to answers 503, and waiting does not change that.
  if (isHealthy(status) && definesGateway(defined)) await awaitGateway(context, timeoutMs);
  for (const line of [
    ...headLines(terminal, status, Date.now()),
    ...serviceLines(terminal, status.services),
  ]) {
    terminal.line(line);
  }
  if (!isHealthy(status)) {
    terminal.problem(
      `Not everything is healthy after ${duration(waitedMs)}; the reasons are above, more is in ${config.logDir}.`,
    );
    return 1;
  }
  if (refused) return 1;
  terminal.line();
  for (const line of await addresses(context, defined)) terminal.line(line);
  if (definesGateway(defined) && isKeyedByAddress(config.gateway.pool))
    terminal.line(addressHint('instance'));
  terminal.line();
  terminal.line(
    `Try next: ${terminal.paint('bold', holdfast(context, 'status'))}, or ${terminal.paint('bold', holdfast(context, 'test-ha'))}`,
  );
  terminal.line(`Stop it:  ${terminal.paint('bold', npm(context, 'stop', 'down'))}`);
  return 0;
}

interface BroughtUp {
  /** There was something to start. */
  readonly changed: boolean;
  /** PM2 refuses an application, as the file defines it. */
  readonly refused: boolean;
}

/**
 * Starts what is missing or halted. What PM2 refuses is said, and takes no other application with it.
 * @throws HoldfastError `ecosystem.invalid` when it refuses every service of the file; then nothing was started.
 */
async function bringUp(
  context: CliContext,
  apps: readonly DefinedApp[],
  isSupervised: boolean,
): Promise<BroughtUp> {
  const { own: rows, others } = await separate(await context.pm2.list(), apps, await supervised(context));
  const { missing: absent, halted, ended } = compare(apps, rows);
  const hidden = absent.filter((app) => others.some(({ name }) => name === app.name));
  const missing = absent.filter((app) => app.problem === null && !hidden.includes(app));
  const problems = [
    ...refusals(context.config.ecosystemFile, absent),
    ...(isSupervised ? [] : hidden.map(({ name }) => whyHidden(name, others))),
  ];
  for (const { name } of isSupervised ? hidden : [])
    context.terminal.line(`${whyHidden(name, others)} The supervisor starts it.`);
  if (problems.length > 0 && !apps.some((app) => isService(app) && app.problem === null))
    throw new HoldfastError('ecosystem.invalid', problems.join('\n'));
  for (const problem of problems) context.terminal.problem(problem);
  for (const warning of boundsWarnings(context, apps)) context.terminal.warning(warning);
  await requireFreePorts(context, missing);
  const names = (list: readonly DefinedApp[]): string => list.map(({ name }) => name).join(', ');
  if (missing.length > 0) {
    context.terminal.progress(`starting ${names(missing)} through PM2`);
    await startMissing(context, missing);
  }
  for (const { name } of halted) {
    context.terminal.progress(`starting ${name} again`);
    const numbers = rows.filter((row) => row.name === name).map(({ pmId }) => String(pmId));
    await context.pm2.run(['restart', ...numbers]);
    sayStarted(context, [name], await context.pm2.list(), ', which was stopped, again');
  }
  for (const { name } of ended)
    sayRun(
      context,
      rows.filter((row) => row.name === name),
    );
  return { changed: missing.length + halted.length > 0, refused: problems.length > 0 };
}

/** Where the file starts another number of instances than config.yml allows: said before anything is started. */
function boundsWarnings({ config }: CliContext, apps: readonly DefinedApp[]): readonly string[] {
  const host = { cores: cpus().length, memoryBytes: Infinity };
  return apps.filter(isService).flatMap((app) => {
    const { scaling } = servicePolicy(config, { name: app.name, instances: instancesStarted(app) }, host);
    return scaling.boundsWarning ?? [];
  });
}

/** `pm2 start <file>` goes by names alone: it would restart the other application, with what the file says of this one. */
function whyHidden(name: string, others: readonly Pm2App[]): string {
  const found = others.filter((other) => other.name === name).map(describeOther);
  return `PM2 runs another application of that name, which is left alone: ${found.join(', ')}; \`pm2 start\` cannot start ${name} beside it.`;
}

/** Each start of a job is one run: this command is no reason for another one. */
function sayRun({ terminal }: CliContext, rows: readonly Pm2App[]): void {
  const [{ name = '', lastExitCode = null } = {}] = rows;
  const numbers = rows.map(({ pmId }) => pmId).join(' ');
  terminal.line(
    lastExitCode === null
      ? `${name} is not started, as PM2 was told (autostart: false).`
      : `${name} has ended with exit code ${lastExitCode}, as PM2 was told to let it; \`pm2 restart ${numbers}\` starts it again.`,
  );
}

/** Without a supervisor, "serves" is all that can be asked: every port is listened on. */
async function startServices(context: CliContext, timeoutMs: number): Promise<number> {
  const { terminal } = context;
  const services = (await readEcosystem(context.config)).filter(isService);
  const { changed, refused } = await bringUp(context, services, false);
  if (!changed) terminal.done('Already running; nothing to start.');
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { own: rows } = await separate(await context.pm2.list(), services);
    const silent = [];
    for (const row of rows) {
      if (row.run === 'finished') continue;
      if (row.status !== 'online' || (row.port !== null && (await isPortFree(row.port)))) silent.push(row);
    }
    if (silent.length === 0 && (rows.length > 0 || refused)) {
      for (const { name, port, pid } of rows.filter(({ run }) => run === null))
        terminal.done(`${name} serves on http://127.0.0.1:${port ?? ''}/ (pid ${pid ?? ''})`);
      return refused ? 1 : 0;
    }
    const names = silent.map(({ name, port, status }) => `${name}:${port ?? ''} (${status})`).join(', ');
    if (performance.now() > deadline) {
      terminal.problem(
        `Not serving after ${timeoutMs / 1_000} s: ${names}. Look into ${context.config.logDir}.`,
      );
      return 1;
    }
    terminal.progress(`waiting for ${names}`);
  }
}

function definesGateway(apps: readonly DefinedApp[]): boolean {
  return apps.some(({ name }) => name === GATEWAY_NAME);
}

async function addresses(context: CliContext, defined: readonly DefinedApp[]): Promise<string[]> {
  const hasGateway = definesGateway(defined);
  const rows: (readonly [label: string, url: string])[] = [
    ['Supervisor', `${context.api.url}/api/ha/status`],
  ];
  if (hasGateway) {
    rows.push(['Gateway', `${gatewayUrl(context)}/`], ['Gateway page', `${gatewayUrl(context)}/lb`]);
  }
  for (const { name, port, page, label: called } of defined.filter(isService)) {
    if (port === null) continue;
    // A page that the ecosystem file names through the gateway, any other service by its first port.
    const path = page ?? '/';
    const label = called ?? name;
    const own = `http://127.0.0.1:${port}${path}`;
    const through = `${gatewayUrl(context)}${path}`;
    // Routes may have been chosen that lead elsewhere.
    const isRouted = hasGateway && path !== '/' && (await isAnswered(through));
    rows.push([label, isRouted ? through : own]);
  }
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, url]) => `${label.padEnd(width)}  ${url}`);
}
