/** A name, as other things can take it. */

/** As a shell takes it: in single quotes where it needs them. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** As the last word of a command: one that begins with a dash would be taken for an option. */
export function operand(word: string): string {
  return word.startsWith('-') ? `-- ${quoted(word)}` : quoted(word);
}

const LONGEST_FILE_NAME = 150;

/** As a file is called: one name, on any file system, and another one for each other word. */
export function fileName(word: string): string {
  const escaped = [...Buffer.from(word)].map((byte) => {
    const character = String.fromCharCode(byte);
    return /[\w-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  });
  const name = escaped.join('');
  if (name.length <= LONGEST_FILE_NAME) return name === '' ? '%' : name;
  return `${name.slice(0, LONGEST_FILE_NAME)}%-${checksum(word)}`;
}

/** FNV-1a over 64 bits: enough to keep two long names apart. */
function checksum(word: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(word)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash.toString(16);
}
