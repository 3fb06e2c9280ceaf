/** Texts that are secret in a value: of a list each; of header fields those that are no plain word or kind of content. */
export function secretTextsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(secretTextsIn);
  if (typeof value !== 'object' || value === null) return [];
  const texts = Object.values(value).flatMap(secretTextsIn);
  return [...texts, ...texts.flatMap((text) => text.split(' '))].filter((text) => !PLAIN_VALUE.test(text));
}

const PLAIN_VALUE = /^[a-z*-]+(?:\/[a-z*.+-]+)?$/i;
