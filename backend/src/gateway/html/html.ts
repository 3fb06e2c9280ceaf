/**
 * HTML as values: what is put into a template is scrubbed of secrets, shown with what is invisible in it, and escaped,
 * unless it came out of a template.
 */
import { shownText } from '../../lib/secrets/ofProcess.js';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = Html | string | number | null | readonly Part[];

/** A template: `html\`<b>${name}</b>\``. Lists are joined, null is nothing. Attribute values must be quoted. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    strings.reduce(
      (text, piece, index) => text + piece + (index < parts.length ? toText(parts[index]) : ''),
      '',
    ),
  );
}

function toText(part: Part | undefined): string {
  if (part === undefined || part === null) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(toText).join('');
  if (typeof part === 'number') return String(part);
  return shownText(part).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
