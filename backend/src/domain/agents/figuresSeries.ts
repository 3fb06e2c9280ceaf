/**
 * What an agent said in the last minute, packed into one array of numbers. As objects they would be what a supervisor of
 * many instances spends its time on: 200 agents are 48 000 of them, and a garbage collector that walks over 30 MB every
 * few seconds (measured: a third of the supervisor's CPU time).
 *
 * Records of different lengths lie one after the other, each with its length at both ends, so that it can be read from
 * either:
 *
 *   … gone … │ length, amounts, statuses, latency, length │ length, … │ room │
 *            head                                                     tail
 *
 * Where there is no more room at the end, what is left is moved to the front, of a larger array when it needs one.
 */
import type { AgentFigures } from './agent.js';

const BYTES = Float64Array.BYTES_PER_ELEMENT;
const AMOUNTS = 22;
const STATUSES = 5;
/** Of a record without `latency`: its length twice, its amounts, `debugged`, its statuses. */
const FIXED = 2 + AMOUNTS + 1 + STATUSES;
const FIRST_CAPACITY = 8 * FIXED;

export class FiguresSeries {
  readonly #keptMs: number;
  readonly #capacity: number;
  #values = numbers(FIRST_CAPACITY);
  #head = 0;
  #tail = 0;
  #size = 0;

  /**
   * @param keptMs what is older than the newest by more than this is let go of.
   * @param capacity how many are kept at most, however young they are.
   */
  constructor(keptMs: number, capacity: number) {
    this.#keptMs = keptMs;
    this.#capacity = capacity;
  }

  push(figures: AgentFigures): void {
    const length = FIXED + figures.latency.length;
    this.#makeRoom(length);
    write(this.#values, this.#tail, figures, length);
    this.#tail += length;
    this.#size += 1;
    while (this.#size > this.#capacity || this.#atMs(this.#head) < figures.atMs - this.#keptMs) this.#drop();
  }

  oldest(): AgentFigures | null {
    return this.#size === 0 ? null : read(this.#values, this.#head);
  }

  newest(): AgentFigures | null {
    return this.#size === 0 ? null : read(this.#values, this.#before(this.#tail));
  }

  /** Those after that time, oldest first. Costs no more than these. */
  since(atMs: number): AgentFigures[] {
    let from = this.#tail;
    while (from > this.#head && this.#atMs(this.#before(from)) > atMs) from = this.#before(from);
    const found: AgentFigures[] = [];
    for (let at = from; at < this.#tail; at += this.#lengthAt(at)) found.push(read(this.#values, at));
    return found;
  }

  #drop(): void {
    this.#head += this.#lengthAt(this.#head);
    this.#size -= 1;
  }

  /** Moves at most as much as was dropped since the last time, or doubles: a constant cost for each record. */
  #makeRoom(length: number): void {
    const room = this.#values.byteLength / BYTES;
    if (this.#tail + length <= room) return;
    const used = this.#tail - this.#head;
    const left = new Uint8Array(this.#values.buffer, this.#head * BYTES, used * BYTES);
    if (2 * (used + length) > room) this.#values = numbers(2 * (room + length));
    new Uint8Array(this.#values.buffer).set(left);
    this.#head = 0;
    this.#tail = used;
  }

  #lengthAt(at: number): number {
    return numberAt(this.#values, at);
  }

  /** Where the record that ends there begins. */
  #before(end: number): number {
    return end - numberAt(this.#values, end - 1);
  }

  #atMs(at: number): number {
    return numberAt(this.#values, at + 1);
  }
}

function numbers(count: number): DataView {
  return new DataView(new ArrayBuffer(count * BYTES));
}

function numberAt(values: DataView, at: number): number {
  return values.getFloat64(BYTES * at);
}

function write(values: DataView, start: number, figures: AgentFigures, length: number): void {
  let at = start;
  const next = (value: number): void => values.setFloat64(BYTES * at++, value);
  next(length);
  next(figures.atMs);
  next(figures.beatAgeMs);
  next(figures.eluPercent);
  next(figures.delayP50Ms ?? NaN);
  next(figures.delayP99Ms ?? NaN);
  next(figures.delayMaxMs ?? NaN);
  next(figures.rssBytes);
  next(figures.heapUsedBytes ?? NaN);
  next(figures.heapLimitBytes ?? NaN);
  next(figures.liveHeapBytes ?? NaN);
  next(figures.majorGcs);
  next(figures.externalBytes ?? NaN);
  next(figures.active);
  next(figures.unanswered);
  next(figures.oldestUnansweredMs ?? NaN);
  next(figures.unansweredOverdue);
  next(figures.sinceFinishedMs ?? NaN);
  next(figures.finished);
  next(figures.aborted);
  next(figures.latencySumMs);
  next(figures.connections);
  next(figures.dropped);
  next(figures.debugged ? 1 : 0);
  for (const count of figures.statuses) next(count);
  for (const bucketOrCount of figures.latency) next(bucketOrCount);
  next(length);
}

/** The inverse of `write`. */
function read(values: DataView, start: number): AgentFigures {
  const end = start + numberAt(values, start) - 1;
  const latency: number[] = [];
  for (let at = start + FIXED - 1; at < end; at += 1) latency.push(numberAt(values, at));
  let at = start + 1;
  const next = (): number => numberAt(values, at++);
  const maybe = (): number | null => {
    const value = next();
    return Number.isNaN(value) ? null : value;
  };
  return {
    atMs: next(),
    beatAgeMs: next(),
    eluPercent: next(),
    delayP50Ms: maybe(),
    delayP99Ms: maybe(),
    delayMaxMs: maybe(),
    rssBytes: next(),
    heapUsedBytes: maybe(),
    heapLimitBytes: maybe(),
    liveHeapBytes: maybe(),
    majorGcs: next(),
    externalBytes: maybe(),
    active: next(),
    unanswered: next(),
    oldestUnansweredMs: maybe(),
    unansweredOverdue: next(),
    sinceFinishedMs: maybe(),
    finished: next(),
    aborted: next(),
    latencySumMs: next(),
    connections: next(),
    dropped: next(),
    debugged: next() === 1,
    statuses: [next(), next(), next(), next(), next()],
    latency,
  };
}
