/** Two editors of one document, with Yjs's own client: what the one writes, the other must have in the end. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { waitFor } from '../support/waitFor.js';
import type { NightlyTraffic } from './services.js';

interface Doc {
  getMap(name: string): {
    set(key: string, value: number): void;
    has(key: string): boolean;
    readonly size: number;
  };
  destroy(): void;
}
interface Provider {
  readonly synced: boolean;
  destroy(): void;
}
interface Yjs {
  Doc: new () => Doc;
}
interface YWebsocket {
  WebsocketProvider: new (
    url: string,
    room: string,
    doc: Doc,
    options: Readonly<Record<string, unknown>>,
  ) => Provider;
}

const PAUSE_MS = 10;
const PATIENCE_MS = 60_000;

interface Editor {
  readonly doc: Doc;
  readonly provider: Provider;
}

export class YjsTraffic implements NightlyTraffic {
  readonly failed: string[] = [];
  sent = 0;
  readonly #writer: Editor;
  readonly #reader: Editor;
  readonly #timer: NodeJS.Timeout;

  private constructor(writer: Editor, reader: Editor) {
    this.#writer = writer;
    this.#reader = reader;
    this.#timer = setInterval(() => writer.doc.getMap('text').set(String(this.sent++), this.sent), PAUSE_MS);
  }

  /** @param folder where yjs and y-websocket are installed. */
  static async start(port: number, folder: string): Promise<YjsTraffic> {
    const installed = createRequire(join(folder, 'x.js'));
    const { Doc } = installed('yjs') as Yjs;
    const { WebsocketProvider } = installed('y-websocket') as YWebsocket;
    // Not through a channel between tabs, and back soon after a connection ended.
    const options = { WebSocketPolyfill: installed('ws') as unknown, disableBc: true, maxBackoffTime: 200 };
    const editor = (): Editor => {
      const doc = new Doc();
      return { doc, provider: new WebsocketProvider(`ws://127.0.0.1:${port}`, 'a-room', doc, options) };
    };
    const [writer, reader] = [editor(), editor()];
    await waitFor(() => writer.provider.synced && reader.provider.synced, {
      what: 'both editors to be in sync',
    });
    return new YjsTraffic(writer, reader);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const text = this.#reader.doc.getMap('text');
    await waitFor(() => text.size === this.sent, { what: 'every change', deadlineMs: PATIENCE_MS }).catch(
      () => undefined,
    );
    for (let number = 0; number < this.sent; number += 1) {
      if (!text.has(String(number))) this.failed.push(`change ${number} did not arrive`);
    }
    for (const { doc, provider } of [this.#writer, this.#reader]) {
      provider.destroy();
      doc.destroy();
    }
  }
}
