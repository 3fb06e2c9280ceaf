/**
 * Upstreams from a file that is watched (how: lib/fileWatcher.ts), such as load-balancer-config.json. A file that is
 * missing or not valid changes nothing and is reported; the last good one stays in force. What else the file says
 * (algorithm, checks) goes to `onDocument`, before its upstreams do.
 */
import type { Member } from '../../domain/upstreams/members.js';
import { FileWatcher, type FileWatcherOptions } from '../../lib/fileWatcher.js';
import type { Discovery } from '../../ports.js';
import { MemberFeed } from './feed.js';

export type FileReading<Document> =
  | { readonly ok: true; readonly members: readonly Member[]; readonly document: Document }
  /** One line per problem. */
  | { readonly ok: false; readonly problems: readonly string[] };

export interface FileDiscoveryOptions<Document> extends Pick<
  FileWatcherOptions,
  'debounceMs' | 'pollMs' | 'missingMs'
> {
  readonly file: string;
  readonly parse: (text: string) => FileReading<Document>;
  readonly onDocument: (document: Document) => void;
}

export class FileDiscovery<Document> implements Discovery {
  readonly #options: FileDiscoveryOptions<Document>;
  readonly #feed = new MemberFeed();
  #watcher: FileWatcher | null = null;

  constructor(options: FileDiscoveryOptions<Document>) {
    this.#options = options;
  }

  start(listener: (members: readonly Member[]) => void, onProblem: (problem: string) => void): void {
    this.#feed.open(listener, onProblem);
    const { file, parse: _parse, onDocument: _onDocument, ...pace } = this.#options;
    this.#watcher = new FileWatcher({
      ...pace,
      files: [file],
      onChange: ([content = null]) => {
        if (typeof content === 'string') this.#judge(content);
        else this.#feed.fail(content === null ? `${file} does not exist` : `${file}: ${content.problem}`);
      },
    });
  }

  close(): Promise<void> {
    this.#feed.close();
    this.#watcher?.close();
    return Promise.resolve();
  }

  #judge(text: string): void {
    const { file, parse, onDocument } = this.#options;
    const reading = parse(text);
    if (!reading.ok) {
      this.#feed.fail(`${file}: ${reading.problems.join('; ')}`);
      return;
    }
    onDocument(reading.document);
    this.#feed.publish(reading.members);
  }
}
