/** Why no upstream of a pool is up, as far as the gateway knows it: a few sentences for those who run it. */
import type { ListNotes } from '../../ports.js';
import type { SourceFact, UpstreamFact } from '../pages/facts.js';

export interface SourceWord {
  readonly source: { readonly name: string };
  readonly state: SourceFact['state'];
  /** Why it gives no answer, where it is stale. */
  readonly detail: string;
  readonly notes: ListNotes;
}

export interface CheckedUpstream {
  readonly id: string;
  readonly check: UpstreamFact['lastCheck'];
}

/** Of upstreams that fail their checks. */
const MOST_SHOWN = 3;

/**
 * @param sources of the pool.
 * @param upstreams of the pool.
 * @returns null: nothing is known.
 */
export function troubleText(
  sources: readonly SourceWord[],
  upstreams: readonly CheckedUpstream[],
): string | null {
  const words = sources.flatMap(({ source, state, detail, notes }) =>
    state === 'stale' ? [staleText(source.name, detail)] : (notes.reason ?? []),
  );
  const failed = upstreams.flatMap(({ id, check }) =>
    check === null || check.ok ? [] : [`${id}: ${check.detail}`],
  );
  if (failed.length > 0) {
    const more = failed.length > MOST_SHOWN ? `; and ${failed.length - MOST_SHOWN} more` : '';
    words.push(`Checks failed at ${failed.slice(0, MOST_SHOWN).join('; ')}${more}.`);
  }
  return words.length === 0 ? null : words.join(' ');
}

/** Sources that are asked over the network name themselves in what went wrong. */
function staleText(source: string, detail: string): string {
  const problem = detail.startsWith(`${source}: `) ? detail.slice(source.length + 2) : detail;
  return `Source ${source}: ${problem}.`;
}
