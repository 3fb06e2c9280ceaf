/**
 * Keeps what an instance in cluster mode writes just before it ends.
 *
 * There, PM2 writes stdout and stderr through streams that write in the background, and ends the process at once on an
 * uncaught exception; so does an application that says why and calls `process.exit`. What has not been written by then is
 * lost: of an application that throws while it is loaded, all of it, because its streams have only just been opened. Only
 * the exit code is left, and PM2 makes a 0 of that.
 *
 * PM2's streams are learnt while it opens them, before the application is loaded; then `fs` is as it was. When the process
 * ends, what lies in them unwritten is written to their files, and so is what is written still later: once, in order (but a
 * piece that is just being written in the background may come after it), and in the format that PM2 has given it. How the
 * process ends is not touched. Only ordinary files are written to: anything else could make an end wait.
 */
import fs from 'node:fs';

/** More than that would make an end wait: what a process has to say at its end is short. */
const MOST_BYTES = 1024 * 1024;
const LOG_FIELDS = ['pm_log_path', 'pm_out_log_path', 'pm_err_log_path'];

/** The parts of a stream's state that are looked at; node:stream has had them since version 14. */
interface PendingWrites {
  readonly buffered?: readonly { readonly chunk: unknown; readonly encoding: BufferEncoding }[];
  readonly bufferedIndex?: number;
}

/** @param env of the process, in which PM2's record of it still lies. */
export function keepLastWords(env: NodeJS.ProcessEnv): void {
  const packed = env['pm2_env'];
  if (packed === undefined) return;
  const record = JSON.parse(packed) as Record<string, unknown>;
  const expected = LOG_FIELDS.map((field) => record[field]).filter(isOpened);
  if (expected.length === 0) return;
  const streams: fs.WriteStream[] = [];
  const { createWriteStream } = fs;
  fs.createWriteStream = (...args: Parameters<typeof createWriteStream>) => {
    const stream = createWriteStream(...args);
    const at = expected.indexOf(String(args[0]));
    if (at >= 0) {
      expected.splice(at, 1);
      streams.push(stream);
    }
    if (expected.length === 0) fs.createWriteStream = createWriteStream;
    return stream;
  };
  process.on('exit', () => {
    for (const stream of streams) {
      try {
        finish(stream);
      } catch {
        // It ends as it would have ended without us.
      }
    }
  });
}

/** PM2 opens no other (Utility.startLogging). */
function isOpened(path: unknown): path is string {
  return typeof path === 'string' && path !== '' && !path.includes('NULL') && !path.includes('/dev/null');
}

/** Writes what waits in the stream, and from then on at once: listeners of `exit` write, too. */
function finish(stream: fs.WriteStream): void {
  const fd = (stream as unknown as { readonly fd: unknown }).fd;
  if (typeof fd !== 'number' || stream.destroyed || !fs.fstatSync(fd).isFile()) return;
  let left = MOST_BYTES;
  const write = (chunk: unknown, encoding?: unknown): boolean => {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk), encodingOf(encoding));
    if (bytes.length > left) return false;
    left -= bytes.length;
    fs.writeSync(fd, bytes);
    return true;
  };
  const { buffered = [], bufferedIndex = 0 } = (stream as unknown as { _writableState: PendingWrites })
    ._writableState;
  for (const { chunk, encoding } of buffered.slice(bufferedIndex)) write(chunk, encoding);
  stream.write = (chunk: unknown, encoding?: unknown): boolean => {
    try {
      return write(chunk, encoding);
    } catch {
      return false;
    }
  };
}

function encodingOf(encoding: unknown): BufferEncoding {
  return typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8';
}
