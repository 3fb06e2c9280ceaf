/**
 * The log of a process: JSON lines through winston into a file that is rotated by size and age, and a readable form
 * for people, on a terminal only. Nothing is ever written to a stdout that is not a terminal: a process under PM2
 * that leaves its stdout alone survives the death of the daemon at the other end of the pipe.
 *
 * winston's own file transport is not used: a full disk ends its stream for good and its queue has no bound. Ours
 * (files/rotatingFile.ts) waits, counts what it must drop, and goes on.
 */
import { Writable } from 'node:stream';
import winston from 'winston';

import { visible, visibleJson } from '../../lib/visible.js';
import type { Logger } from '../../ports.js';
import { logFileMode } from '../files/ownFolders.js';
import { RotatingFile } from '../files/rotatingFile.js';
import { redactFields, redactText } from './redact.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface LoggerOptions {
  readonly file: string;
  /** The least severe level that is logged. Default `info`. */
  readonly level?: LogLevel;
  /** Whether people on a terminal see the lines as well. Default true; without effect where stdout is no terminal. */
  readonly console?: boolean;
  /** The file is rotated before it would grow beyond this. Default 10 MiB. */
  readonly maxBytes?: number;
  /** Rotated files that are kept: `<file>.1` is the newest. Default 5. */
  readonly maxFiles?: number;
  /** Rotated files older than this are deleted. Default 14. */
  readonly maxAgeDays?: number;
  /** The group of the files may read them. Default false. */
  readonly groupReads?: boolean;
  /** Told once when the file can't be written. */
  readonly onFailing?: (error: unknown) => void;
}

export interface ClosableLogger extends Logger {
  /** Lines that could not be kept: the disk was full for too long. */
  dropped(): number;
  /** Writes what waits; idempotent. Lines logged afterwards are dropped and counted. */
  close(): Promise<void>;
}

const DAY_MS = 24 * 3_600_000;

interface Line {
  readonly timestamp: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A field can't pose as the line's own time, level or message. */
const OWN_KEYS = new Set(['timestamp', 'level', 'message']);

function toJson({ timestamp, level, message, fields }: Line): string {
  const safe = Object.entries(fields).map(([key, value]) => [OWN_KEYS.has(key) ? `_${key}` : key, value]);
  return visibleJson(JSON.stringify({ timestamp, level, message, ...Object.fromEntries(safe) }));
}

const COLOURS: Readonly<Record<LogLevel, string>> = { error: '31', warn: '33', info: '32', debug: '90' };

/** `12:30:01 warn  message  service=shop attempts=2` */
function toReadable({ timestamp, level, message, fields }: Line, coloured: boolean): string {
  const label = level.padEnd(5);
  const shownLevel = coloured ? `\u001b[${COLOURS[level]}m${label}\u001b[0m` : label;
  const details = Object.entries(fields).map(([key, value]) => {
    const shown = typeof value === 'string' && /^\S+$/.test(value) ? value : JSON.stringify(value);
    return ` ${key}=${shown}`;
  });
  // What was logged may come from anywhere; it must not steer the terminal.
  const text = `${message}${details.length === 0 ? '' : ` ${details.join('')}`}`;
  return `${timestamp.slice(11, 19)} ${shownLevel} ${visible(text.replace(/[\p{Cc}]/gu, ' '))}`;
}

/** A line of such a log as people read it; null when `text` is no line of one. */
export function readable(text: string, coloured: boolean): string | null {
  if (!text.startsWith('{"timestamp":"')) return null;
  try {
    const { timestamp, level, message, ...fields } = JSON.parse(text) as Omit<Line, 'fields'>;
    const isLine =
      typeof timestamp === 'string' && typeof message === 'string' && Object.hasOwn(COLOURS, level);
    return isLine ? toReadable({ timestamp, level, message, fields }, coloured) : null;
  } catch {
    return null;
  }
}

/** A winston transport that hands whole lines to `write`. */
function lineTransport(toText: (line: Line) => string, write: (text: string) => void): winston.transport {
  const stream = new Writable({
    decodeStrings: false,
    write(text: string, _encoding, next) {
      write(text);
      next();
    },
  });
  const format = winston.format.printf((line) => toText(line as unknown as Line));
  return new winston.transports.Stream({ stream, format, eol: '' });
}

function terminalTransport(): winston.transport {
  // A terminal that was closed is no reason to end.
  process.stdout.on('error', () => undefined);
  const coloured = !process.env['NO_COLOR'];
  return lineTransport(
    (line) => toReadable(line, coloured),
    (text) => process.stdout.write(`${text}\n`),
  );
}

/** Opens nothing yet: the file appears with the first line. Never throws for a directory that can't be written. */
export function createLogger(options: LoggerOptions): ClosableLogger {
  const file: RotatingFile = new RotatingFile({
    path: options.file,
    maxBytes: options.maxBytes ?? 10 * 1024 * 1024,
    maxFiles: options.maxFiles ?? 5,
    maxAgeMs: (options.maxAgeDays ?? 14) * DAY_MS,
    mode: logFileMode(options.groupReads ?? false),
    ...(options.onFailing === undefined ? {} : { onFailing: options.onFailing }),
    onRecovered: (dropped) => write('warn', 'the log could not be written for a while', { dropped }),
  });
  const log = winston.createLogger({
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    level: options.level ?? 'info',
    // Each transport writes its own form; winston's default would serialise every line once more.
    format: { transform: (line) => line },
    transports: [lineTransport(toJson, (text) => file.write(text))],
  });
  if (options.console !== false && process.stdout.isTTY) log.add(terminalTransport());
  // A transport that fails is not worth the process.
  log.on('error', () => undefined);
  let closed = false;
  let tooLate = 0;

  function write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (!log.isLevelEnabled(level)) return;
    if (closed) {
      tooLate += 1;
      return;
    }
    const line: Line = {
      timestamp: new Date().toISOString(),
      level,
      message: redactText(message),
      fields: redactFields(fields),
    };
    log.log(line);
  }

  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    dropped: () => file.dropped() + tooLate,
    async close() {
      if (!closed) {
        closed = true;
        await new Promise((resolve) => log.once('finish', resolve).end());
      }
      await file.close();
    },
  };
}
