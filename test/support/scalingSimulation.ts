/**
 * A service in a loop with a controller that decides how many workers it has, one step a second.
 *
 * Demand is the work arriving per second, in workers: 2.5 keeps two and a half of them fully busy. What the ready
 * workers cannot do waits in a queue (at most 10 s of it: clients give up). A worker serves 5 s after it was asked
 * for. A worker's load is the share of the second it was busy: it shows 100 % however long the queue is, which is
 * what makes the problem interesting. Everything random comes from the seed.
 */

export const MAX_WORKERS = 8;
const START_S = 5;
const DURATION_S = 3600;
/** A request that waits longer than this has noticed. */
const SLOW_WAIT_S = 0.25;
const PATIENCE_S = 10;
/** Per-second noise on demand, relative. */
const NOISE = 0.08;

export interface Moment {
  readonly second: number;
  readonly ready: number;
  readonly starting: number;
  /** Of each ready worker, 0–1. */
  readonly load: number;
  /** Work waiting, in worker-seconds: only a controller that is told can know. */
  readonly queue: number;
}

/** Told the moment, answers how many workers it wants. */
export type Controller = (moment: Moment) => number;

export interface Outcome {
  /** Share of seconds in which the queue was longer than SLOW_WAIT_S, percent. */
  readonly slowPercent: number;
  /** Mean workers beyond the demand. */
  readonly surplus: number;
  /** Moves in the other direction within 60 s of the one before. */
  readonly reversals: number;
  readonly moves: number;
}

export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

const STEPS = [1, 4, 2, 6, 1, 3, 5, 1.5, 7, 2, 4, 1];

/** Demand over an hour. */
export const traces: Readonly<Record<string, (random: () => number) => (second: number) => number>> = {
  step: () => (second) => STEPS[Math.floor(second / 300) % STEPS.length]!,
  diurnal: () => (second) => 3 + 2.6 * Math.sin((2 * Math.PI * second) / DURATION_S - Math.PI / 2),
  flash: () => (second) => (second % 900 >= 400 && second % 900 < 520 ? 6 : 1.2),
  noisy: (random) => {
    let drift = 0;
    return () => {
      drift = 0.9 * drift + 0.35 * gauss(random);
      return Math.max(0.2, 2.5 + drift);
    };
  },
};

export function simulate(trace: string, newController: () => Controller, seed: number): Outcome {
  const random = seededRandom(seed);
  const demandAt = traces[trace]!(random);
  const controller = newController();
  let ready = 1;
  let arriving: number[] = [];
  let queue = 0;
  let slowSeconds = 0;
  let surplusSum = 0;
  let reversals = 0;
  let moves = 0;
  let last = { second: -Infinity, direction: 0 };
  for (let second = 0; second < DURATION_S; second++) {
    ready += arriving.filter((at) => at <= second).length;
    arriving = arriving.filter((at) => at > second);
    const demand = Math.max(0.05, demandAt(second) * (1 + NOISE * gauss(random)));
    const served = Math.min(queue + demand, ready);
    queue = Math.min(queue + demand - served, PATIENCE_S * ready);
    if (queue / ready > SLOW_WAIT_S) slowSeconds++;
    const count = ready + arriving.length;
    surplusSum += Math.max(0, count - demand);
    const answer = controller({ second, ready, starting: arriving.length, load: served / ready, queue });
    const wanted = Math.max(1, Math.min(MAX_WORKERS, answer));
    if (wanted === count) continue;
    moves++;
    const direction = Math.sign(wanted - count);
    if (direction === -last.direction && second - last.second < 60) reversals++;
    last = { second, direction };
    for (let i = count; i < wanted; i++) arriving.push(second + START_S);
    const leave = Math.max(0, count - wanted);
    const unborn = Math.min(leave, arriving.length);
    arriving.splice(arriving.length - unborn, unborn);
    ready -= leave - unborn;
  }
  return {
    slowPercent: (100 * slowSeconds) / DURATION_S,
    surplus: surplusSum / DURATION_S,
    reversals,
    moves,
  };
}

/** The mean over all traces and seeds; reversals and moves are sums per hour. */
export function average(newController: () => Controller, seeds: readonly number[]): Outcome {
  const outcomes = Object.keys(traces).flatMap((trace) =>
    seeds.map((seed) => simulate(trace, newController, seed)),
  );
  const mean = (figure: (outcome: Outcome) => number): number =>
    outcomes.reduce((sum, outcome) => sum + figure(outcome), 0) / outcomes.length;
  return {
    slowPercent: mean((o) => o.slowPercent),
    surplus: mean((o) => o.surplus),
    reversals: mean((o) => o.reversals),
    moves: mean((o) => o.moves),
  };
}
