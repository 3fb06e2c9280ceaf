/**
 * A line of the access log without secrets. Queries, cookies and authorization are never in one (lines.ts); what is left are
 * secrets in paths, host names, referring pages and names of user agents.
 *
 * The primary does this, where it writes: it is not on the way of any request.
 */
import { scrubber, shownJson } from '../../lib/secrets/ofProcess.js';
import { escapeQuoted, unescapeQuoted } from './lines.js';

/** What stands in quotes in a line of the combined form. */
const QUOTED = /"((?:[^"\\]|\\.)*)"/g;

/** The same line where there is nothing secret in it. Never throws. @param line in one of the forms of lines.ts. */
export function scrubbedLine(line: string): string {
  const shown = scrubber.text(line);
  if (shown === line) return line;
  // Field by field, so that it can still be taken apart.
  if (!line.startsWith('{')) {
    return line.replace(
      QUOTED,
      (_all, text: string) => `"${escapeQuoted(scrubber.text(unescapeQuoted(text)))}"`,
    );
  }
  try {
    return shownJson(JSON.parse(line));
  } catch {
    return shown;
  }
}
