/** A line of a JSON log as people read it: the message, then what belongs to it. Any other line stays as it is. */

/** Said by the terminal itself: time, and the line's own frame. */
const LEFT_OUT = new Set(['timestamp', 'time', 'level', 'message', 'msg', 'service']);

export function readableLine(line: string): string {
  const entry = parse(line);
  const message = entry?.['message'] ?? entry?.['msg'];
  if (entry === null || typeof message !== 'string') return printable(line);
  const level = String(entry['level'] ?? 'info');
  const details = Object.entries(entry)
    .filter(([key]) => !LEFT_OUT.has(key))
    .map(
      ([key, value]) =>
        `${key}=${typeof value === 'string' && /^\S+$/.test(value) ? value : JSON.stringify(value)}`,
    );
  const label = /^(warn|error|fatal|[4-6]0)/.test(level) ? `${level}: ` : '';
  return printable([`${label}${message}`, ...details].join('  '));
}

function parse(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
}

/** What an application prints must not steer the terminal; colours may stay. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/(?!\u001b\[[\d;]*m)[\u0000-\u0008\u000b-\u001f\u007f]/g, ' ');
}
