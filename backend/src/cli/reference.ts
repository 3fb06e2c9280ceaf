/** The commands as a part of docs/reference/command-line.md: what `--help` prints. */
import type { Command } from './command.js';

export function commandReference(commands: Readonly<Record<string, Command>>): string {
  return Object.entries(commands)
    .map(([name, { summary, usage }]) => {
      const sentence = summary.charAt(0).toUpperCase() + summary.slice(1);
      return `### \`${name}\`\n\n${sentence}.\n\n\`\`\`text\n${usage}\n\`\`\``;
    })
    .join('\n\n');
}
