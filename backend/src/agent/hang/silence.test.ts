import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TICK_MS } from '../seams.js';
import { INITIAL, step, type Finding, type Look, type State } from './silence.js';

const TIMEOUT_MS = 1_000;

/** A main thread and its watcher on a clock of their own. */
class Scene {
  nowMs = 10_000;
  beat = 1;
  beatAtMs = 10_000;
  debugged = false;
  watchedMs = 0;
  queuedMs = 0;
  collectingMs = 0;
  state: State = INITIAL;
  hangs = 0;
  readonly findings: Finding[] = [];

  /** Time passes, then the watcher looks. */
  look(passedMs = TICK_MS): Finding {
    this.nowMs += passedMs;
    const { state, finding } = step(this.state, this.#see(), this.hangs);
    this.state = state;
    if (finding.kind === 'hung') this.hangs = finding.hang;
    if (finding.kind === 'hung' || finding.kind === 'recovered') this.findings.push(finding);
    return finding;
  }

  /** Looks at the usual pace. */
  watch(forMs: number): void {
    for (let passedMs = 0; passedMs < forMs; passedMs += TICK_MS) this.look();
  }

  beats(): void {
    this.beat += 1;
    this.beatAtMs = this.nowMs;
  }

  /** A main thread that runs. */
  live(forMs: number): void {
    for (let passedMs = 0; passedMs < forMs; passedMs += TICK_MS) {
      this.nowMs += TICK_MS;
      this.beats();
      this.look(0);
    }
  }

  #see(): Look {
    const { nowMs, beat, beatAtMs, debugged, watchedMs, queuedMs, collectingMs } = this;
    return {
      nowMs,
      beat,
      beatAgeMs: nowMs - beatAtMs,
      debugged,
      watchedMs,
      queuedMs,
      collectingMs,
      timeoutMs: TIMEOUT_MS,
    };
  }
}

function living(): Scene {
  const scene = new Scene();
  scene.live(500);
  return scene;
}

describe('silence', () => {
  it('is a hang after the time-out, once, and ends with the next beat', () => {
    const scene = living();
    scene.watch(TIMEOUT_MS - TICK_MS);
    expect(scene.findings).toEqual([]);
    scene.look();
    expect(scene.findings).toEqual([{ kind: 'hung', hang: 1 }]);
    scene.watch(2_000);
    expect(scene.findings).toHaveLength(1);
    const silentSinceMs = scene.beatAtMs;
    scene.beats();
    scene.look(20);
    expect(scene.findings[1]).toEqual({
      kind: 'recovered',
      hang: 1,
      silentMs: scene.beatAtMs - silentSinceMs,
    });
    scene.live(500);
    scene.watch(TIMEOUT_MS + TICK_MS);
    expect(scene.findings[2]).toEqual({ kind: 'hung', hang: 2 });
  });

  it('is suspicious after 200 ms, so that questions can be asked before it is judged', () => {
    const scene = living();
    scene.watch(100);
    expect(scene.look().kind).toBe('nothing');
    scene.watch(100);
    expect(scene.look().kind).toBe('suspicious');
  });

  it('of less than the time-out is nothing, however often', () => {
    const scene = living();
    for (let stall = 100; stall <= 900; stall += 50) {
      scene.watch(stall);
      scene.live(100);
    }
    expect(scene.findings).toEqual([]);
  });

  it('does not count while the watcher itself stood still: SIGSTOP and SIGCONT', () => {
    const scene = living();
    scene.look(5_000);
    scene.watch(TIMEOUT_MS - 2 * TICK_MS);
    expect(scene.findings).toEqual([]);
    scene.live(200);
    expect(scene.findings).toEqual([]);
  });

  it('goes on counting after such a stop when the main thread stays away', () => {
    const scene = living();
    scene.look(5_000);
    scene.watch(TIMEOUT_MS + TICK_MS);
    expect(scene.findings).toEqual([{ kind: 'hung', hang: 1 }]);
  });

  it('counts in full when looks are merely late', () => {
    const scene = living();
    for (let passedMs = 0; passedMs < TIMEOUT_MS; passedMs += 190) scene.look(190);
    expect(scene.findings).toEqual([{ kind: 'hung', hang: 1 }]);
  });

  it('counts by the clock on a machine that is merely busy', () => {
    const scene = living();
    for (let passedMs = 0; passedMs < TIMEOUT_MS; passedMs += TICK_MS) {
      scene.watchedMs += TICK_MS;
      scene.queuedMs += 0.7 * TICK_MS;
      scene.look();
    }
    expect(scene.findings).toHaveLength(1);
  });

  it('of a main thread that hardly gets a CPU counts at most one time-out later', () => {
    const scene = living();
    for (let passedMs = 0; passedMs < 2 * TIMEOUT_MS - TICK_MS; passedMs += TICK_MS) {
      scene.watchedMs += TICK_MS;
      scene.queuedMs += TICK_MS;
      scene.look();
    }
    expect(scene.findings).toEqual([]);
    scene.watchedMs += TICK_MS;
    scene.queuedMs += TICK_MS;
    scene.look();
    expect(scene.findings).toHaveLength(1);
  });

  it('of a collection is excused for as long as it may take', () => {
    const scene = living();
    scene.collectingMs = 700;
    scene.watch(TIMEOUT_MS + 700 - TICK_MS);
    expect(scene.findings).toEqual([]);
    scene.look();
    expect(scene.findings).toHaveLength(1);
  });

  it('means nothing under a debugger, and what came before is forgotten', () => {
    const scene = living();
    scene.watch(800);
    scene.debugged = true;
    scene.watch(10_000);
    scene.debugged = false;
    scene.watch(TIMEOUT_MS - TICK_MS);
    expect(scene.findings).toEqual([]);
  });

  it('means nothing before the first beat, while the application loads', () => {
    const scene = new Scene();
    scene.beat = 0;
    scene.watch(60_000);
    expect(scene.findings).toEqual([]);
  });

  it('from before the watch began does not count', () => {
    const scene = new Scene();
    scene.nowMs += 30_000;
    scene.watch(TIMEOUT_MS);
    expect(scene.findings).toEqual([]);
    scene.look();
    expect(scene.findings).toHaveLength(1);
  });

  it('is never a hang when beats come in time, always one when they stay away', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 60 }),
        fc.boolean(),
        (gaps, isBlocked) => {
          const scene = living();
          let sinceBeatMs = 0;
          for (const gapMs of gaps) {
            sinceBeatMs += gapMs;
            if (!isBlocked && sinceBeatMs >= TIMEOUT_MS - 400) {
              scene.beats();
              sinceBeatMs = 0;
            }
            scene.look(gapMs);
          }
          if (!isBlocked) expect(scene.findings).toEqual([]);
          else {
            scene.watch(TIMEOUT_MS + TICK_MS);
            expect(scene.findings).toEqual([{ kind: 'hung', hang: 1 }]);
          }
        },
      ),
    );
  });
});
