/**
 * `npm start`: from whatever state the deployment is in to one that serves. Running it on a deployment that already
 * runs changes nothing: it checks, and says where everything is.
 */
import { addressHint, isKeyedByAddress } from '../../domain/pool.js';
import { join } from 'node:path';
import { parse, seconds, type Command } from '../command.js';
import { unusedSettings } from '../../config/unused.js';
import { withEcosystem, type CliContext } from '../context.js';
import { awaitHealthy, isHealthy } from '../awaitHealthy.js';
import { awaitSupervisor } from '../deployment.js';
import { definedNames, GATEWAY_NAME, isService, readEcosystem, type DefinedApp } from '../ecosystemFile.js';
import { headLines, serviceLines } from '../render.js';
import { holdfast } from '../invocation.js';
import { awaitGateway, gatewayUrl, isAnswered } from '../gatewayCheck.js';
import { isPortFree, requireFreePorts } from '../portCheck.js';
import { samplePage } from '../sample.js';
import type { Pm2App } from '../pm2Command.js';
import { findRunning, requireOwn } from '../running.js';
import { stopApps } from '../stopApps.js';
import { compare, requireScripts, requireWritableFolders, startMissing } from '../startApps.js';
import { duration } from '../terminal.js';

export const up: Command = {
  summary: 'start everything through PM2 and wait until it serves (npm start)',
  usage: `Usage: npm start [-- options]
       npx holdfast up [options]

Starts the clustered deployment (ecosystem.cluster.config.js) through PM2 and waits until every service is healthy.
What already runs is left alone; run twice it is harmless. Where Holdfast runs already with another ecosystem file, of another
project folder or under another PM2, nothing is started, and what to do is printed.

    npm start -- --standard

  --standard         the standard deployment (ecosystem.config.js): one instance each, no autoscaling
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
  const names = readEcosystem(context.config.ecosystemFile).map(({ name }) => name);
  const rows = await context.pm2.list();
  const running = await findRunning(context, rows, names);
  if (!replace || running.kind !== 'changed') return requireOwn(context, running, command);
  const former = running.file === null ? [] : definedNames(context, running.file);
  // A service that both files define goes on, and the new supervisor takes it over.
  const isGone = (row: Pm2App): boolean =>
    !isService(row) || (former.includes(row.name) && !names.includes(row.name));
  await stopApps(context, rows.filter(isGone));
}

/** Starts what is missing, waits until it serves, says where everything is. @returns the exit code. */
export async function startAll(context: CliContext, timeoutMs: number): Promise<number> {
  const { terminal, config } = context;
  const defined = readEcosystem(config.ecosystemFile);
  const changed = await bringUp(context, defined);
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
  terminal.line();
  for (const line of await addresses(context, defined)) terminal.line(line);
  if (definesGateway(defined) && isKeyedByAddress(config.gateway.pool))
    terminal.line(addressHint('instance'));
  terminal.line();
  terminal.line(
    `Try next: ${terminal.paint('bold', holdfast(context, 'status'))}, or ${terminal.paint('bold', holdfast(context, 'test-ha'))}`,
  );
  terminal.line(`Stop it:  ${terminal.paint('bold', 'npm stop')}`);
  return 0;
}

/** Starts what is missing or halted. @returns whether there was anything to do. */
async function bringUp(context: CliContext, apps: readonly DefinedApp[]): Promise<boolean> {
  const rows = await context.pm2.list();
  const { missing, halted } = compare(apps, rows);
  requireScripts(context.config.ecosystemFile, missing);
  await requireFreePorts(context.config, missing);
  const names = (list: readonly DefinedApp[]): string => list.map(({ name }) => name).join(', ');
  if (missing.length > 0) {
    context.terminal.progress(`starting ${names(missing)} through PM2`);
    await startMissing(context, missing);
    context.terminal.done(`Started ${names(missing)}.`);
  }
  for (const { name } of halted) {
    context.terminal.progress(`starting ${name} again`);
    const numbers = rows.filter((row) => row.name === name).map(({ pmId }) => String(pmId));
    await context.pm2.run(['restart', ...numbers]);
    context.terminal.done(`Started ${name}, which was stopped, again.`);
  }
  return missing.length + halted.length > 0;
}

/** Without a supervisor, "serves" is all that can be asked: every port is listened on. */
async function startServices(context: CliContext, timeoutMs: number): Promise<number> {
  const { terminal } = context;
  const services = readEcosystem(context.config.ecosystemFile).filter(isService);
  if (!(await bringUp(context, services))) terminal.done('Already running; nothing to start.');
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const rows = (await context.pm2.list()).filter(({ name }) =>
      services.some((service) => service.name === name),
    );
    const silent = [];
    for (const row of rows) {
      if (row.status !== 'online' || (row.port !== null && (await isPortFree(row.port)))) silent.push(row);
    }
    if (silent.length === 0 && rows.length > 0) {
      for (const { name, port, pid } of rows)
        terminal.done(`${name} serves on http://127.0.0.1:${port ?? ''}/ (pid ${pid ?? ''})`);
      return 0;
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
  for (const { name, port } of defined.filter(isService)) {
    if (port === null) continue;
    // The sample's pages by what is on them and through the gateway, any other service by its first port.
    const { label, path } = samplePage(name) ?? { label: name, path: '/' };
    const own = `http://127.0.0.1:${port}${path}`;
    const through = `${gatewayUrl(context)}${path}`;
    // Routes may have been chosen that lead elsewhere.
    const isRouted = hasGateway && path !== '/' && (await isAnswered(through));
    rows.push([label, isRouted ? through : own]);
  }
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, url]) => `${label.padEnd(width)}  ${url}`);
}
