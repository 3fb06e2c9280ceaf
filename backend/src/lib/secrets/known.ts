/** Secrets that this process knows itself, in every form in which they could appear. */

/** A shorter one would be found in ordinary words. */
const SHORTEST = 6;

/** @returns the forms, longest first: raw, percent-encoded, in JSON, in HTML, hexadecimal, in base64 at any offset. */
export function formsOf(secrets: readonly string[]): readonly string[] {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.trim().length < SHORTEST) continue;
    const bytes = new TextEncoder().encode(secret);
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const percent = encodeURIComponent(secret);
    const inJson = JSON.stringify(secret).slice(1, -1);
    const plain = [
      secret,
      secret.trim(),
      percent,
      percent.replaceAll('%20', '+'),
      encodeURI(secret),
      inJson,
      JSON.stringify(inJson).slice(1, -1),
      inHtml(secret),
    ];
    for (const form of [...plain, hex, hex.toUpperCase(), ...base64FormsOf(bytes)]) forms.add(form);
  }
  return [...forms].filter((form) => form.length >= SHORTEST).toSorted((a, b) => b.length - a.length);
}

function inHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] as string);
}

/** Three: what stands before a text in base64 (`user:`) shifts it by 0, 1 or 2 bytes. Without the characters at its ends that others have a part in. */
function base64FormsOf(bytes: Uint8Array): string[] {
  const found: string[] = [];
  for (const shift of [0, 1, 2]) {
    const shifted = btoa(String.fromCodePoint(...new Uint8Array(shift), ...bytes));
    const from = shift === 0 ? 0 : shift + 1;
    const whole = Math.floor(((bytes.length + shift) * 8) / 6);
    const core = shifted.slice(from, whole);
    if (core.length >= 8) found.push(core, core.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return found;
}
