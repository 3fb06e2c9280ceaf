/** README.md as its reader uses it: the commands to copy, and what it says they print. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Block {
  /** The heading of level 2 that it stands under. */
  readonly section: string;
  readonly language: string;
  readonly text: string;
}

/** Every fenced block of a page, in order. */
export function blocksOf(page: string): Block[] {
  const text = readFileSync(`${root}${page}`, 'utf8');
  const found = text.matchAll(/^## (.+)$|^```(\S*)\n([^]*?)^```$/gm);
  let section = '';
  return [...found].flatMap(([, heading, language = '', block = '']) => {
    if (heading === undefined) return [{ section, language, text: block }];
    section = heading;
    return [];
  });
}

/** The commands of one shell block: its lines, without what a comment says about them. */
export function commandsOf({ text }: Block): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/(?:^|\s+)# .*$/, ''))
    .filter((line) => line !== '');
}

/**
 * The commands of one section, each to be run once. `left` is what has not been taken; it has to be empty in the end.
 */
export class ReadmeCommands {
  readonly #blocks: readonly Block[];
  readonly #left: Set<string>;

  constructor(section: string) {
    this.#blocks = blocksOf('README.md').filter((block) => block.section === section);
    this.#left = new Set(this.#shell().flatMap(commandsOf));
  }

  get left(): readonly string[] {
    return [...this.#left];
  }

  /** The command that begins like this. */
  take(start: string): string {
    const command = [...this.#left].find((each) => each.startsWith(start));
    if (command === undefined) throw new Error(`README.md has no command left that begins with "${start}"`);
    this.#left.delete(command);
    return command;
  }

  /** All commands of the block whose first one begins like this, as one script. */
  takeBlock(start: string): string {
    const block = this.#shell().find((each) => each.text.startsWith(start));
    if (block === undefined) throw new Error(`README.md has no block that begins with "${start}"`);
    return commandsOf(block)
      .map((command) => this.take(command))
      .join(' &&\n');
  }

  /** The file that a block begins with the name of. */
  file(path: string): string {
    const head = `// ${path}\n`;
    const block = this.#blocks.find(({ text }) => text.startsWith(head));
    if (block === undefined) throw new Error(`README.md no longer has ${path}`);
    return block.text.slice(head.length);
  }

  /** Lines that the section says are printed, from the block that contains `part`. */
  printed(part: string): string[] {
    const block = this.#blocks.find(({ language, text }) => language === 'text' && text.includes(part));
    if (block === undefined) throw new Error(`README.md has no output with "${part}"`);
    return linesOf(block.text);
  }

  #shell(): readonly Block[] {
    return this.#blocks.filter(({ language }) => language === 'sh');
  }
}

/** Lines that are not blank, with what differs from run to run made equal: times and PM2's version. */
export function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) =>
      line
        .replace(/ up [\d.]+ m?s$/, ' up 1 s')
        .replace(/ PM2 [\d.]+ /, ' PM2 7 ')
        .trimEnd(),
    )
    .filter((line) => line !== '');
}
