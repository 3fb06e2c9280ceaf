import { describe, expect, it } from 'vitest';

import { Emitter } from './emitter.js';

interface Events {
  opened: { id: number };
  closed: { id: number; why: string };
}

describe('Emitter', () => {
  it('delivers to the listeners of the type, in order, then to those of any type', () => {
    const emitter = new Emitter<Events>();
    const heard: string[] = [];
    emitter.onAny((type, payload) => heard.push(`any ${type} ${payload.id}`));
    emitter.on('opened', ({ id }) => heard.push(`first ${id}`));
    emitter.on('opened', ({ id }) => heard.push(`second ${id}`));
    emitter.on('closed', ({ why }) => heard.push(why));

    emitter.emit('opened', { id: 7 });
    emitter.emit('closed', { id: 7, why: 'done' });

    expect(heard).toEqual(['first 7', 'second 7', 'any opened 7', 'done', 'any closed 7']);
  });

  it('goes on when a listener throws, and counts and reports it', () => {
    const reported: [unknown, string][] = [];
    const emitter = new Emitter<Events>((error, type) => reported.push([error, type]));
    const heard: number[] = [];
    const problem = new Error('listener broke');
    emitter.on('opened', () => {
      throw problem;
    });
    emitter.on('opened', ({ id }) => heard.push(id));

    emitter.emit('opened', { id: 1 });

    expect(heard).toEqual([1]);
    expect(reported).toEqual([[problem, 'opened']]);
    expect(emitter.listenerErrors).toBe(1);
  });

  it('catches the rejection of an async listener', async () => {
    let report: (error: unknown) => void = () => undefined;
    const reported = new Promise<unknown>((resolve) => {
      report = resolve;
    });
    const emitter = new Emitter<Events>((error) => report(error));
    emitter.on('opened', async () => {
      await Promise.resolve();
      throw new Error('later');
    });

    emitter.emit('opened', { id: 1 });

    expect(await reported).toEqual(new Error('later'));
    expect(emitter.listenerErrors).toBe(1);
  });

  it('survives a reporter that throws', () => {
    const emitter = new Emitter<Events>(() => {
      throw new Error('reporter broke');
    });
    emitter.on('opened', () => {
      throw new Error('listener broke');
    });

    expect(() => emitter.emit('opened', { id: 1 })).not.toThrow();
    expect(emitter.listenerErrors).toBe(1);
  });

  it('stops calling whoever unsubscribed, also in the middle of an emission', () => {
    const emitter = new Emitter<Events>();
    const heard: string[] = [];
    emitter.on('opened', () => leave());
    const leave = emitter.on('opened', () => heard.push('left'));
    const leaveAny = emitter.onAny((type) => heard.push(type));

    emitter.emit('opened', { id: 1 });
    leaveAny();
    leaveAny();
    emitter.emit('opened', { id: 2 });

    expect(heard).toEqual(['opened']);
  });

  it('lets whoever subscribes during an emission hear the next one', () => {
    const emitter = new Emitter<Events>();
    const heard: number[] = [];
    const off = emitter.on('opened', () => {
      off();
      emitter.on('opened', ({ id }) => heard.push(id));
      emitter.onAny((_type, { id }) => heard.push(id));
    });

    emitter.emit('opened', { id: 1 });
    emitter.emit('opened', { id: 2 });

    expect(heard).toEqual([2, 2]);
  });

  it('keeps two subscriptions of one function apart', () => {
    const emitter = new Emitter<Events>();
    let calls = 0;
    const listener = (): void => {
      calls += 1;
    };
    const offFirst = emitter.on('opened', listener);
    emitter.on('opened', listener);

    offFirst();
    emitter.emit('opened', { id: 1 });

    expect(calls).toBe(1);
  });
});
