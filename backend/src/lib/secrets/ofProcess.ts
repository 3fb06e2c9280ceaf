/**
 * The one scrubber of this process: all that leaves it or is kept goes through here (logs, events, black boxes, answers,
 * pages, what commands print). It is shared by the whole process on purpose. A text can come to an output from any part of
 * it, and an output that had to be given a scrubber could be built without one.
 *
 * What it knows beside shapes is said by the programs alone, when they have read their configuration: startProcess.ts,
 * cli/context.ts, a worker of the gateway when its primary starts it, and config/watch.ts when a file was edited. It
 * never forgets: an old secret may still be in what is shown later.
 */
import { visible, visibleJson } from '../visible.js';
import { secretKindOf } from './names.js';
import { Scrubber } from './scrubber.js';
import { REDACTED } from './values.js';

export { REDACTED } from './values.js';

const own = new Scrubber();

export const scrubber: Pick<Scrubber, 'text' | 'lines' | 'json'> = own;

/** Takes these out as well from now on, wherever they stand. For programs; see above. */
export function knowSecrets(secrets: readonly (string | null | undefined)[]): void {
  own.learn(secrets);
}

/** A text as people may see it: without secrets, and with what is invisible written out. */
export const shownText = (text: string): string => visible(scrubber.text(text));

/** The labels of a metric, in the same way. */
export function shownLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  const shown = Object.entries(labels).map(([key, value]) => [
    key,
    visible(String(withoutSecrets(key, value))),
  ]);
  return Object.fromEntries(shown) as Record<string, string>;
}

/** A value as JSON that may be shown: without secrets, and with what is invisible in its texts escaped. */
export function shownJson(value: unknown, indent = 0): string {
  return visibleJson(JSON.stringify(value, withoutSecrets, indent));
}

/** For JSON.stringify: every text of an answer, however deep. */
export function withoutSecrets(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value !== '' && secretKindOf(key) !== null ? REDACTED : scrubber.text(value);
}
