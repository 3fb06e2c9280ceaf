/**
 * `scripts/test-high-availability.sh`: disturbs a running deployment the way life does, under traffic, and says what
 * was lost and how long recovery took. Leaves it as it found it, also when it is interrupted: the same number of
 * instances, no failure on the books that was not there before.
 */
import { get } from 'node:http';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { ServiceView } from '../../domain/views/serviceView.js';
import type { FailoverView } from '../../domain/views/controlPlane.js';
import { parse, UsageError, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { openLog, type CommandLog } from '../log.js';
import { duration } from '../terminal.js';
import { CHECKS } from '../testHa/checks.js';
import {
  awaitService,
  isWhole,
  operate,
  readService,
  readStatus,
  type Check,
  type Outcome,
  type Scene,
} from '../testHa/scene.js';
import { findGatewayLoad } from '../testHa/gatewayLoad.js';
import type { TrafficFigures } from '../testHa/load.js';
import { Traffic } from '../testHa/traffic.js';

const WHOLE_TIMEOUT_MS = 60_000;
const SLOW_PATH = '/debug/slow?ms=300';

export const testHa: Command = {
  summary: 'disturb a running deployment under traffic, and measure',
  usage: `Usage: scripts/test-high-availability.sh [--only NAME]... [--service NAME]
       npx holdfast test-ha [the same options]

Exercises a running deployment under traffic of its own, prints what was lost (0 is right) and how long recovery took,
and leaves everything as it was. Exits 0 when all parts passed. Log: logs/ha-test.log

Two kinds of traffic, 100 requests a second each: to every instance that is announced as serving, where only what was
under way on the instance that the test itself kills or hangs may fail; and, where a gateway runs and has a route to the
service, through the gateway, where nothing may.

${CHECKS.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join('\n')}

  --only NAME      only this part; may be repeated
  --service NAME   the service to disturb (default: DEFAULT_SERVICE, else the first one)
  --help           this text

The part "hang" needs a service with the fault switches GET /debug/slow?ms= and POST /debug/block?ms=, as the sample
services have them (see .env.example)`,
  toleratesMistakes: true,

  async run(args, context) {
    const values = parse(args, { only: { type: 'string', multiple: true }, service: { type: 'string' } });
    const checks = chooseChecks(values.only);
    const interrupt = new AbortController();
    const onSignal = (): void => interrupt.abort(new HoldfastError('test.interrupted', 'Interrupted.'));
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
    const log = openLog(context, 'ha-test.log');
    try {
      const { scene, close } = await setScene(context, values.service, interrupt.signal);
      try {
        return await runChecks(scene, checks, log);
      } finally {
        await close();
      }
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      await log.close();
    }
  },
};

function chooseChecks(only: readonly string[] | undefined): readonly Check[] {
  if (only === undefined) return CHECKS;
  const names = CHECKS.map(({ name }) => name);
  const unknown = only.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new UsageError(`--only ${unknown.join(', ')}: there are ${names.join(', ')}.`);
  return CHECKS.filter(({ name }) => only.includes(name));
}

/** Finds the service, begins the traffic, and remembers how everything was. */
async function setScene(context: CliContext, serviceName: string | undefined, interrupted: AbortSignal) {
  const first = (await readStatus({ context })).services[0]?.name;
  const name = serviceName ?? context.config.defaultService ?? first;
  if (name === undefined)
    throw new HoldfastError('test.nothing-serves', 'The supervisor looks after no service.');
  const service = await readService({ context, serviceName: name });
  if (!isWhole(service)) {
    throw new HoldfastError(
      'test.not-healthy',
      `${name} is ${service.state} (${service.reason}); a test would prove nothing. Make it healthy first.`,
    );
  }
  const hasFaults = await hasFaultSwitches(service);
  const policy = { ...context.config.serviceDefaults, ...context.config.services.get(name) };
  const traffic = new Traffic({
    service: name,
    path: policy.healthPath,
    slowPath: hasFaults ? SLOW_PATH : null,
  });
  const gateway = await findGatewayLoad(context, name, hasFaults ? SLOW_PATH : null);
  const scene: Scene = {
    context,
    traffic,
    gateway,
    serviceName: name,
    hasFaults,
    whyNoSignals: whyNoSignals(service),
    interrupted,
  };
  const attemptsBefore = await attemptsUsed(scene);
  const read = (): Promise<ServiceView> => readService(scene);
  await traffic.start(context.api, read, (problem) =>
    context.terminal.warning(`Announcements are lost: ${problem}.`),
  );
  if ('load' in gateway) gateway.load.start();
  const close = async (): Promise<void> => {
    await Promise.all([traffic.stop(), 'load' in gateway ? gateway.load.stop() : null]);
    await restore({ ...scene, interrupted: new AbortController().signal }, service.desired, attemptsBefore);
  };
  return { scene, close };
}

async function runChecks(scene: Scene, checks: readonly Check[], log: CommandLog): Promise<number> {
  const { terminal } = scene.context;
  terminal.line(
    `Disturbing ${terminal.paint('bold', scene.serviceName)} at ${scene.context.api.url}, 100 requests a second to its instances.`,
  );
  terminal.line(
    'url' in scene.gateway ? `As many again through the gateway, ${scene.gateway.url}.` : scene.gateway.why,
  );
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const check of checks) {
    takeFigures(scene);
    const outcome = await runCheck(scene, check);
    const { traffic, throughGateway } = takeFigures(scene);
    const lost = traffic.lost + (throughGateway?.lost ?? 0);
    const verdict = outcome.kind === 'passed' && lost > 0 ? 'failed' : outcome.kind;
    tally[verdict] += 1;
    report(scene, check, outcome, verdict, { traffic, throughGateway });
    log[verdict === 'failed' ? 'error' : 'info'](`${check.name} ${verdict}`, {
      service: scene.serviceName,
      ...outcome,
      traffic,
      throughGateway,
    });
    if (scene.interrupted.aborted) break;
  }
  terminal.line(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped.`);
  return tally.failed === 0 && !scene.interrupted.aborted ? 0 : 1;
}

async function runCheck(scene: Scene, check: Check): Promise<Outcome> {
  scene.context.terminal.progress(`${check.name}: ${check.about}`);
  try {
    return await check.run(scene);
  } catch (error) {
    return { kind: 'failed', detail: messageOf(error) };
  }
}

interface Figures {
  readonly traffic: TrafficFigures;
  /** null: none went there. */
  readonly throughGateway: TrafficFigures | null;
}

/** Since the last time. */
function takeFigures({ traffic, gateway }: Scene): Figures {
  return { traffic: traffic.take(), throughGateway: 'load' in gateway ? gateway.load.take() : null };
}

function report(
  scene: Scene,
  check: Check,
  outcome: Outcome,
  verdict: Outcome['kind'],
  { traffic, throughGateway }: Figures,
): void {
  const { terminal } = scene.context;
  const name = check.name.padEnd(9);
  if (outcome.kind === 'skipped')
    return terminal.line(`${terminal.paint('yellow', '–')} ${name} skipped: ${outcome.why}`);
  const parts = [
    outcome.detail,
    `${traffic.answered} requests answered, ${traffic.lost} lost`,
    ...(traffic.lostOnVictims > 0 ? [`${traffic.lostOnVictims} on the disturbed instance itself`] : []),
    ...(traffic.nobodyServedMs > 0 ? [`nothing served for ${duration(traffic.nobodyServedMs)}`] : []),
    ...(traffic.withheld > 0 ? [`${traffic.withheld} not sent, too many in flight`] : []),
    ...(throughGateway === null ? [] : [gatewayText(throughGateway)]),
  ];
  const text = `${name} ${parts.join('; ')}`;
  if (verdict === 'passed') terminal.done(text);
  else {
    const losses = [...traffic.losses, ...(throughGateway?.losses ?? [])];
    terminal.problem([text, ...losses.map((loss) => `    lost: ${loss}`)].join('\n'));
  }
}

function gatewayText({ answered, lost, slowestMs, withheld }: TrafficFigures): string {
  const held = withheld > 0 ? `, ${withheld} not sent, too many in flight` : '';
  return `through the gateway ${answered} answered, ${lost} lost, the slowest after ${duration(slowestMs)}${held}`;
}

/** As found: the same number of instances, healthy, and the failures of the test off the books. */
async function restore(scene: Scene, desired: number, attemptsBefore: number): Promise<void> {
  const { terminal, api } = scene.context;
  terminal.progress('leaving everything as it was');
  const now = await readService(scene);
  if (now.desired < desired) await operate(scene, 'scale-up', { targetInstances: desired });
  if (now.desired > desired) await operate(scene, 'scale-down', { targetInstances: desired });
  await awaitService(scene, isWhole, { timeoutMs: WHOLE_TIMEOUT_MS, what: 'a whole service again' });
  if (attemptsBefore === 0 && (await attemptsUsed(scene)) > 0) {
    await api.post(`/api/ha/reset-failure/${encodeURIComponent(scene.serviceName)}`, {});
  }
}

async function attemptsUsed({ context, serviceName }: Scene): Promise<number> {
  const { data } = await context.api.get<FailoverView>('/api/ha/failover-manager');
  return data.services.find(({ name }) => name === serviceName)?.attemptsUsed ?? 0;
}

/** Only the switch's own answer counts: an application may answer anything with 200. */
function hasFaultSwitches({ instances }: ServiceView): Promise<boolean> {
  const port = instances.find(({ serving }) => serving)?.port ?? null;
  if (port === null) return Promise.resolve(false);
  return new Promise((resolve) => {
    const probe = get(
      { host: '127.0.0.1', port, path: '/debug/slow?ms=0', timeout: 5_000, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          body = `${body}${chunk}`.slice(0, 100);
        });
        response.once('error', () => resolve(false));
        response.once('end', () =>
          resolve(response.statusCode === 200 && body.startsWith('{"success":true,"ms":0}')),
        );
      },
    );
    probe.once('timeout', () => probe.destroy(new Error('no answer')));
    probe.once('error', () => resolve(false));
  });
}

/** Signal 0 asks whether a process is there and may be signalled. */
function whyNoSignals({ instances }: ServiceView): string | null {
  const pid = instances.find(({ serving }) => serving)?.pid ?? null;
  if (pid === null) return 'no instance serves.';
  try {
    process.kill(pid, 0);
    return null;
  } catch (error) {
    return `pid ${pid} can't be signalled from here (${messageOf(error)}); run this where the services run, as their user.`;
  }
}
