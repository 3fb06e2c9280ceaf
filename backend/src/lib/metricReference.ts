/** Prometheus figures as a table of docs/reference/metrics.md. */
import { markdownTable } from './markdown.js';

/** What a reader has to know of one figure. */
export interface FamilyDoc {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly labels: readonly string[];
}

export function metricReference(families: readonly FamilyDoc[]): string {
  const rows = families.map(({ name, help, type, labels }) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ]);
  return markdownTable(['name', 'type', 'labels', 'meaning'], rows);
}
