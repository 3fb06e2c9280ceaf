/**
 * The real control plane against faults at random, with the rules that must hold whatever happens. What happens is a
 * script, made from a seed: the same script always runs the same. One that breaks a rule is shrunk: parts of it are left
 * out for as long as the rest still breaks that rule, so that what is left to look at is short.
 */
import type { Behaviour } from './fakePm2.js';
import { policyOf, seeded, World } from './world.js';

export const SERVICES = ['api', 'web'] as const;
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
/** Of a call of the API. It is answered by then, or soon after. */
const CALL_TIMEOUT_MS = 60_000;
const CALL_SLACK_MS = 30_000;

/** One fault: when, what, which service, and a number from which it draws what else it needs. */
export type Step = readonly [tick: number, fault: string, service: string, seed: number];
/** @param seed of what is random in PM2 and in the control plane. */
export interface Script {
  readonly seed: number;
  readonly steps: readonly Step[];
}

export interface Breach {
  /** A rule of rules.ts, or what else was not as it must be. */
  readonly rule: string;
  readonly tick: number;
  readonly problem: string;
}

type Fault = (world: World, service: string, random: () => number) => void | Promise<void>;

const pick = <T>(items: readonly T[], random: () => number): T | undefined =>
  items[Math.floor(random() * items.length)];

const withRow =
  (act: (world: World, row: NonNullable<ReturnType<World['pm2']['alive']>[number]>) => void): Fault =>
  (world, service, random) => {
    const row = pick(world.pm2.alive(service), random);
    if (row !== undefined) act(world, row);
  };

const built =
  (behaviour: Behaviour): Fault =>
  (world) =>
    void (world.pm2.behave = () => behaviour);

/** Calls that were not answered yet, and until when they must be. */
const waiting = new WeakMap<World, Map<Promise<unknown>, number>>();

function call(world: World, answer: Promise<unknown>): void {
  const calls = waiting.get(world) ?? new Map<Promise<unknown>, number>();
  waiting.set(world, calls);
  calls.set(answer, world.clock.nowMs() + CALL_TIMEOUT_MS + CALL_SLACK_MS);
  const answered = (): void => void calls.delete(answer);
  answer.then(answered, answered);
}

const timeoutMs = CALL_TIMEOUT_MS;

export const FAULTS: Readonly<Record<string, Fault>> = {
  crash: withRow((world, row) => world.pm2.kill(row, { exitCode: 1, signal: null })),
  killed: withRow((world, row) => world.pm2.kill(row, { exitCode: 0, signal: 'SIGKILL' })),
  hang: withRow((world, row) => world.pm2.setAnswers(row, 'never')),
  sick: withRow((world, row) => world.pm2.setAnswers(row, 'error')),
  losesItsPath: withRow((world, row) => world.pm2.setAnswers(row, 'elsewhere')),
  heals: withRow((world, row) => world.pm2.setAnswers(row, 'ok')),
  badBuild: built({ ...GOOD, exitsAfterMs: 70 }),
  flakyBuild: built({ ...GOOD, exitsAfterMs: 30_000 }),
  buildWithoutPath: built({ ...GOOD, answers: 'elsewhere' }),
  silentBuild: built({ ...GOOD, readyAfterMs: 1e12 }),
  buildThatStaysDown: built({ ...GOOD, exitsAfterMs: 5_000, staysDown: true }),
  goodBuild: built(GOOD),
  load: (world, service, random) => void world.cpu.set(service, random() < 0.2 ? null : 110 * random()),
  scaleUp: (world, serviceName) => call(world, world.ha.scale({ direction: 'up', serviceName, timeoutMs })),
  scaleDown: (world, serviceName) =>
    call(world, world.ha.scale({ direction: 'down', serviceName, timeoutMs })),
  failover: (world, serviceName) => call(world, world.ha.failover({ serviceName, timeoutMs })),
  deploy: (world, serviceName) => call(world, world.ha.deploy({ serviceName, timeoutMs })),
  reset: (world, service) => call(world, world.ha.resetFailure(service, 'chaos')),
  release: (world, service) => call(world, world.ha.release(service, 'chaos')),
  adopt: (world, service) => call(world, world.ha.adopt(service, 'chaos')),
  switchOff: (world) => call(world, world.ha.stop('chaos')),
  switchOn: (world) => call(world, world.ha.start('chaos')),
  operatorStop: (world, service) => world.pm2.operatorStop(service),
  operatorStart: (world, service) => world.pm2.operatorStart(service),
  operatorStopsSlowly: (world, service, random) => {
    for (const row of world.pm2.alive(service)) world.pm2.operatorStopSlowly(row, 10_000 * random());
  },
  operatorStopsOne: withRow((world, row) => world.pm2.operatorStopSlowly(row, 3_000)),
  operatorReload: (world, service) => world.pm2.operatorReload(service),
  operatorReloadsFile: (world, service, random) =>
    world.pm2.operatorReloadFile(service, { pauseMs: 4_000 * random(), hasPort: random() < 0.5 }),
  wallClockJumps: (world, _service, random) => world.clock.setWall(7_200_000 * (random() - 0.5)),
  operatorDelete: withRow((world, row) => world.pm2.operatorDelete(row)),
  daemonStops: (world) => world.pm2.stopDaemon(),
  daemonContinues: (world) => world.pm2.continueDaemon(),
  daemonDies: (world) => world.pm2.killDaemon(),
  eventsGetLost: (world, _service, random) => void (world.pm2.eventLoss = random() < 0.5 ? 0 : 0.5),
  startsFail: (world, _service, random) => void (world.pm2.startRefusal = random() < 0.5 ? 0 : 0.5),
  callsComeBackLate: (world, _service, random) =>
    void (world.pm2.mutationLagMs = random() < 0.5 ? 0 : 3_000 * random()),
  listsAreLate: (world, _service, random) => void (world.pm2.listLagMs = random() < 0.5 ? 0 : 60),
  diskFull: (world, _service, random) => void (world.store.refuses = random() < 0.3),
  diskIsStuck: (world, _service, random) => void (world.store.isStuck = random() < 0.3),
  supervisorDies: async (world) => {
    await world.killSupervisor();
    // Its callers hear that the connection is gone.
    waiting.get(world)?.clear();
    await world.startSupervisor();
  },
};

/** In about an eighth of all ticks something happens. */
export function scriptOf(
  seed: number,
  ticks: number,
  faults: readonly string[] = Object.keys(FAULTS),
): Script {
  const random = seeded(seed ^ 0x5eed);
  const steps: Step[] = [];
  for (let tick = 0; tick < ticks; tick += 1) {
    if (random() >= 0.12) continue;
    const [fault, service] = [pick(faults, random)!, pick(SERVICES, random)!];
    steps.push([tick, fault, service, Math.floor(random() * 2 ** 31)]);
  }
  return { seed, steps };
}

export interface RunOptions {
  /** Of a second each. */
  readonly ticks: number;
  /** Beside FAULTS. */
  readonly more?: Readonly<Record<string, Fault>>;
  /** Whether all must be whole again at the end, once the faults stop. Default true. */
  readonly recovers?: boolean;
}

/** @returns the first that was not as it must be; null: nothing. */
export async function runScript({ seed, steps }: Script, options: RunOptions): Promise<Breach | null> {
  const world = new World(
    seed,
    SERVICES.map((name) => policyOf(name)),
  );
  world.blackBoxes.keepsNothing = true;
  for (const name of SERVICES) world.pm2.seed(name, 2);
  await world.startSupervisor();
  try {
    return (
      (await play(world, steps, options)) ??
      (options.recovers === false ? null : await recovery(world, options))
    );
  } finally {
    await world.killSupervisor();
  }
}

async function play(
  world: World,
  steps: readonly Step[],
  { ticks, more }: RunOptions,
): Promise<Breach | null> {
  const faults = { ...FAULTS, ...more };
  const due = new Map(steps.map((step) => [step[0], step]));
  for (let tick = 0; tick < ticks; tick += 1) {
    const step = due.get(tick);
    if (step !== undefined) await faults[step[1]]!(world, step[2], seeded(step[3]));
    // The rules are looked at between the ticks, too: one instance too many for a quarter of a second is one too many.
    await world.clock.advance(1_000);
    const breach = breachOf(world, tick);
    if (breach !== null) return breach;
  }
  return null;
}

function breachOf(world: World, tick: number): Breach | null {
  const [first] = world.rules.broken();
  if (first !== undefined) {
    return { rule: first.rule, tick, problem: [first.problem, ...(first.events ?? [])].join('\n  ') };
  }
  for (const atMs of waiting.get(world)?.values() ?? []) {
    if (world.clock.nowMs() > atMs)
      return { rule: 'every call is answered in time', tick, problem: 'a call' };
  }
  return null;
}

/** When the faults stop, everything is whole again, without a hand. */
async function recovery(world: World, { ticks }: RunOptions): Promise<Breach | null> {
  const { pm2, store } = world;
  pm2.behave = () => GOOD;
  pm2.continueDaemon();
  [pm2.eventLoss, pm2.startRefusal, pm2.listLagMs, pm2.mutationLagMs] = [0, 0, 0, 0];
  [store.refuses, store.isStuck] = [false, false];
  for (const name of SERVICES) {
    pm2.operatorStart(name);
    world.cpu.set(name, 50);
    for (const row of pm2.alive(name)) {
      row.behaviour = GOOD;
      row.cancelExit();
    }
  }
  call(world, world.ha.start('chaos'));
  for (const name of SERVICES) call(world, world.ha.adopt(name, 'chaos'));
  await world.clock.advance(1_800_000);
  const breach = breachOf(world, ticks);
  if (breach !== null) return breach;
  for (const name of SERVICES) {
    const service = world.loop.services.get(name)!;
    const { state, reason, instances, operation, desired, serving } = service.view();
    const ports = new Set(pm2.rows(name).map(({ port }) => port));
    const isWhole =
      ports.size === desired &&
      operation === null &&
      state === 'healthy' &&
      serving === desired &&
      pm2.rows(name).length === desired;
    if (isWhole) continue;
    const seen = instances.map((one) => [one.pmId, one.status, one.fitness.kind, one.serving, one.draining]);
    const problem = `${name}: ${state}, ${serving} of ${desired}, ${reason} ${JSON.stringify(seen)}`;
    return { rule: 'whole again once the faults stop', tick: ticks, problem };
  }
  return null;
}

/** A run of seed after seed; a failure names its script, shrunk, and how it is replayed. */
export async function expectRules(script: Script, options: RunOptions): Promise<void> {
  const breach = await runScript(script, options);
  if (breach === null) return;
  const { script: short, breach: last } = await shrunk(script, breach, options);
  const text = JSON.stringify(short);
  throw new Error(
    `seed ${script.seed}, tick ${breach.tick}: ${breach.rule}: ${breach.problem}\n` +
      `Shrunk from ${script.steps.length} to ${short.steps.length} steps: ${last.rule}: ${last.problem}\n` +
      `Again: SCRIPT='${text}' npx vitest run --project unit test/simulation/chaos.1.test.ts`,
  );
}

const SHRINK_MS = 60_000;

/**
 * Leaves out steps for as long as the rest breaks the same rule: halves first, then ever smaller parts, each of them until
 * none can be missed (delta debugging). For a minute at most.
 */
export async function shrunk(
  script: Script,
  breach: Breach,
  options: RunOptions,
): Promise<{ readonly script: Script; readonly breach: Breach }> {
  const endMs = Date.now() + SHRINK_MS;
  const upTo = (tick: number): RunOptions =>
    breach.tick >= options.ticks ? options : { ...options, ticks: tick + 1, recovers: false };
  let best = { steps: script.steps.filter(([tick]) => tick <= breach.tick), breach };
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.steps.length && Date.now() < endMs;) {
      const steps = [...best.steps.slice(0, from), ...best.steps.slice(from + size)];
      const found = await runScript({ ...script, steps }, upTo(best.breach.tick));
      if (found?.rule === breach.rule) {
        best = { steps: steps.filter(([tick]) => tick <= found.tick), breach: found };
      } else from += size;
    }
  }
  return { script: { ...script, steps: best.steps }, breach: best.breach };
}
