/** The rules that others scale by, as their documentation or source states them, for comparison. */
import type { Controller } from './scalingSimulation.js';

function meanOfLast(loads: readonly number[], seconds: number): number | null {
  if (loads.length < seconds) return null;
  return loads.slice(-seconds).reduce((sum, load) => sum + load, 0) / seconds;
}

/** Watt: one more above 0.8 over 10 s, one less below 0.2 over 60 s, 20 s cooldown. */
export function watt(): Controller {
  const loads: number[] = [];
  let lastMove = -Infinity;
  return ({ second, ready, starting, load }) => {
    loads.push(load);
    const count = ready + starting;
    if (second - lastMove < 20) return count;
    const change = (meanOfLast(loads, 10) ?? 0) > 0.8 ? 1 : (meanOfLast(loads, 60) ?? 1) < 0.2 ? -1 : 0;
    if (change !== 0) lastMove = second;
    return count + change;
  };
}

/**
 * Kubernetes HPA: every 15 s `ceil(count × load / target)`, tolerance 0.1, what is starting counts 0 % when
 * growing, at most double or four more at a time, shrinking to the highest answer of 300 s.
 */
export function hpa(target: number): () => Controller {
  return () => {
    let answers: { second: number; count: number }[] = [];
    return ({ second, ready, starting, load }) => {
      const count = ready + starting;
      if (second % 15 !== 0) return count;
      let wanted = count;
      const growing = (load * ready) / count / target;
      if (growing > 1.1) wanted = Math.ceil(count * growing);
      else if (load / target < 0.9) wanted = Math.ceil((ready * load) / target);
      answers = [...answers.filter((answer) => answer.second > second - 300), { second, count: wanted }];
      if (wanted < count)
        wanted = Math.min(count, Math.max(wanted, ...answers.map((answer) => answer.count)));
      return Math.min(wanted, Math.max(2 * count, count + 4));
    };
  };
}

/**
 * Nobody's rule, but a bound: what Holdfast's thresholds (HIGH 80 % over 10 s, LOW 30 % over a minute, a cooldown of a
 * minute) force a rule to do, and nothing more. No headroom, no backlog, no regret.
 */
export function thresholdsAlone(): Controller {
  const demands: number[] = [];
  let lastMove = -Infinity;
  return ({ second, ready, starting, load }) => {
    demands.push(load * ready);
    const count = ready + starting;
    const demand = meanOfLast(demands, 10) ?? 0;
    let wanted = count;
    if (load > 0.8 && demand / ready > 0.8) wanted = Math.max(count + 1, Math.ceil(demand / 0.8));
    const blocks = [0, 1, 2, 3, 4, 5].map((i) => meanOfLast(demands.slice(0, demands.length - 10 * i), 10));
    const peak = blocks.some((block) => block === null)
      ? Infinity
      : Math.max(...blocks.map((block) => block ?? 0));
    const isLow = load < 0.3 && peak / ready < 0.3 && starting === 0;
    if (isLow) wanted = Math.min(count, Math.max(1, Math.ceil(peak / 0.72)));
    if (wanted === count || second - lastMove < 60) return count;
    lastMove = second;
    return wanted;
  };
}

/** pm2-autoscale: one more per 10 s when a worker is at 30 % or above, one less per 30 s when the mean is below 5 %. */
export function pm2Autoscale(): Controller {
  let lastUp = -Infinity;
  let lastDown = -Infinity;
  return ({ second, ready, starting, load }) => {
    const count = ready + starting;
    if (load >= 0.3 && second - lastUp >= 10) {
      lastUp = second;
      return count + 1;
    }
    if (load < 0.05 && second - lastDown >= 30) {
      lastDown = second;
      return count - 1;
    }
    return count;
  };
}
