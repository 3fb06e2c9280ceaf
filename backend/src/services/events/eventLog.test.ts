import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { EventRecord, EventType } from '../../domain/events.js';
import { severityOf } from '../../domain/events.js';
import type { History, Logger } from '../../ports.js';
import { EventLog } from './eventLog.js';

function logging(past: readonly EventRecord[] = []) {
  const clock = new FakeClock();
  const kept: EventRecord[] = [...past];
  const notified: EventRecord[] = [];
  const lines: { level: string; message: string; fields: unknown }[] = [];
  const at =
    (level: string): Logger['info'] =>
    (message, fields) =>
      void lines.push({ level, message, fields });
  const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const history: History = {
    append: (event) => void kept.push(event),
    query: ({ limit }) => kept.slice(-limit),
    dropped: () => 0,
    close: () => Promise.resolve(),
  };
  const notifier = { notify: (event: EventRecord) => void notified.push(event) };
  const log = new EventLog({ clock, history, notifiers: [notifier], logger });
  return { clock, kept, notified, lines, history, notifier, log };
}

const reset = (log: EventLog): void => log.emit('service.reset', { service: 'api', by: 'test' });

let it: ReturnType<typeof logging>;
beforeEach(() => {
  it = logging();
});

describe('an event', () => {
  test('is numbered, dated, kept, logged and told', async () => {
    const heard: EventRecord[] = [];
    it.log.subscribe((event) => heard.push(event));
    await it.clock.advance(1_500);
    reset(it.log);
    const event = {
      seq: 1,
      type: 'service.reset',
      at: new Date(it.clock.wallMs()).toISOString(),
      service: 'api',
      data: { service: 'api', by: 'test' },
    };
    expect([it.kept, it.notified, heard]).toEqual([[event], [event], [event]]);
    expect(it.lines).toEqual([{ level: 'info', message: 'service.reset', fields: event.data }]);
    expect(it.log.query({ limit: 5 })).toEqual([event]);
  });

  test('of no service belongs to none', () => {
    it.log.emit('daemon.lost', { problem: 'connection refused' });
    expect(it.kept[0]).toMatchObject({ service: null });
  });

  test.each(['service.quarantined', 'instance.unfit', 'service.recovered'] as const)(
    '%s is as loud in the log as it is to people',
    (type) => {
      it.log.emit(type as EventType, { service: 'api' } as never);
      expect(it.lines[0]?.level).toBe(severityOf(type));
    },
  );

  test('numbers go on where the previous life ended', () => {
    reset(it.log);
    reset(it.log);
    const next = logging(it.kept);
    reset(next.log);
    expect(next.kept.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });
});

describe('who is told', () => {
  test('can hurt neither the one who tells nor the others', () => {
    const heard: number[] = [];
    it.log.subscribe(() => {
      throw new Error('a page that is gone');
    });
    it.log.subscribe(({ seq }) => heard.push(seq));
    it.notifier.notify = () => {
      throw new Error('no route to host');
    };
    it.history.append = () => {
      throw new Error('disk full');
    };
    expect(() => reset(it.log)).not.toThrow();
    reset(it.log);
    expect(heard).toEqual([1, 2]);
    const problems = it.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields);
    expect(problems.slice(0, 3)).toEqual([
      { problem: 'disk full' },
      { problem: 'no route to host' },
      { problem: 'a page that is gone' },
    ]);
  });

  test('hears nothing any more once it left, also from within', () => {
    const heard: string[] = [];
    const leave = it.log.subscribe(({ seq }) => {
      heard.push(`once ${seq}`);
      leave();
    });
    it.log.subscribe(({ seq }) => heard.push(`always ${seq}`));
    reset(it.log);
    reset(it.log);
    expect(heard).toEqual(['once 1', 'always 1', 'always 2']);
  });
});
