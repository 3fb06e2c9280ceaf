/**
 * One JSON line per event, on stdout (info) or stderr (warn, error); PM2 puts them into files. A service says
 * little: that it started and stopped, and when a dependency goes or comes back; never a line per request.
 */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export function createLog(service: string): Log {
  // The reader of our output (PM2's daemon) can die before us. Its broken pipe must not take us along.
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.listenerCount('error') === 0) stream.on('error', () => undefined);
  }
  const write = (
    stream: NodeJS.WriteStream,
    level: string,
    message: string,
    fields: LogFields = {},
  ): void => {
    stream.write(
      `${JSON.stringify({ timestamp: new Date().toISOString(), level, service, message, ...fields })}\n`,
    );
  };
  return {
    info: (message, fields) => write(process.stdout, 'info', message, fields),
    warn: (message, fields) => write(process.stderr, 'warn', message, fields),
    error: (message, fields) => write(process.stderr, 'error', message, fields),
  };
}

/** Writes `line` to stderr and exits: only after the line is out (PM2 writes asynchronously), or 500 ms. */
export function exitWith(line: string, exitCode: number): void {
  const exit = (): void => process.exit(exitCode);
  setTimeout(exit, 500).unref();
  process.stderr.write(`${line}\n`, exit);
}
