/**
 * The hang watch: looks at the main thread from the agent's own thread, and says when it is blocked, and in what.
 *
 *      every TICK_MS   one look (../seams.ts); ./silence.ts judges
 *      after 200 ms    of silence an episode begins (./episode.ts): what Linux says of the thread is noted, and one with a
 *                      large heap is asked something harmless with every look (./inspection.ts); whether it answers
 *                      tells a hang from a garbage collection (./collection.ts)
 *      time-out        `hang` is sent: at once with a breadcrumb (./crumb.ts), when the stack is there, or without it when
 *                      it could have come and did not (./answerTime.ts); again when it comes afterwards. A diagnostic
 *                      report follows (./report.ts)
 *      a beat          the episode ends, and `recovered` is sent if it was a hang
 *
 * Nothing is looked at while no supervisor listens. When one comes (back) amid a silence, the silence counts from then
 * on, so a supervisor that was restarted hears of a hang that goes on once more, under a new number.
 */
import { nowMs } from '../clock.js';
import type { HangWatch, HangWatchContext } from '../seams.js';
import { Episode } from './episode.js';
import { INITIAL, step, type Look, type State } from './silence.js';

export function createHangWatch(context: HangWatchContext): HangWatch {
  const { main, send } = context;
  let state: State = INITIAL;
  let hangs = 0;
  let episode: Episode | null = null;

  const forget = (): void => {
    state = INITIAL;
    episode?.end();
    episode = null;
  };

  const look = (atMs: number): Look => ({
    nowMs: atMs,
    beat: main.beats(),
    beatAgeMs: main.beatAgeMs(),
    debugged: main.debugged(),
    timeoutMs: context.settings().hangTimeoutMs,
    ...(episode?.excuses(atMs) ?? { watchedMs: 0, queuedMs: 0, collectingMs: 0 }),
  });

  return {
    tick() {
      if (!context.isConnected()) {
        forget();
        return;
      }
      const atMs = nowMs();
      const next = step(state, look(atMs), hangs);
      state = next.state;
      if (state.kind === 'alive' || state.kind === 'unknown') {
        const wasReported = episode?.end() ?? false;
        episode = null;
        if (next.finding.kind === 'recovered' && wasReported) {
          send({ type: 'recovered', hang: next.finding.hang, silentMs: Math.round(next.finding.silentMs) });
        }
      } else if (next.finding.kind !== 'nothing') {
        episode ??= new Episode(context, atMs);
        if (next.finding.kind === 'hung') {
          hangs = next.finding.hang;
          episode.report(next.finding.hang);
        }
      }
    },
  };
}
