import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BusDecoder } from './busClient.js';
import { encodeFrame, FrameSplitter } from './frames.js';

const APPLICATION = { namespace: 'default', script: '/srv/app.js', cwd: '/srv' };

/** A frame as it comes off the wire. */
function frame(event: string, data: unknown): Buffer[] {
  return new FrameSplitter(1024 * 1024).push(encodeFrame([event, data]))[0] ?? [];
}

function line(text: string, pmId: unknown = 'PM2'): Buffer[] {
  return frame('log:PM2', { process: { pm_id: pmId, name: 'PM2' }, at: 1, data: `${text}\n` });
}

function exit(fields: object = {}): Buffer[] {
  const process = {
    ...{ name: 'web', pm_id: 3, pm_uptime: 1_000, exit_code: 0, status: 'stopped' },
    ...{ namespace: 'default', pm_exec_path: '/srv/app.js', pm_cwd: '/srv' },
    ...fields,
  };
  return frame('process:event', { event: 'exit', manually: false, process, at: 1 });
}

describe('BusDecoder', () => {
  it('puts the signal of the log line and the start of the event together', () => {
    const decoder = new BusDecoder();
    expect(decoder.decode(line('App [web:3] exited with code [0] via signal [SIGKILL]'))).toBeNull();
    expect(decoder.decode(exit())).toEqual({
      exit: {
        service: 'web',
        pmId: 3,
        startedAtMs: 1_000,
        exitCode: null,
        signal: 'SIGKILL',
        asked: false,
        endRules: { autorestart: true, stopExitCodes: [], schedule: null },
        application: APPLICATION,
      },
    });
  });

  it('takes SIGINT for no signal, because PM2 says so when there was none', () => {
    const decoder = new BusDecoder();
    decoder.decode(line('App [web:3] exited with code [7] via signal [SIGINT]'));
    expect(decoder.decode(exit({ exit_code: 7 }))).toMatchObject({ exit: { exitCode: 7, signal: null } });
  });

  it('knows an exit that PM2 was asked for', () => {
    expect(new BusDecoder().decode(exit({ status: 'stopping' }))).toMatchObject({ exit: { asked: true } });
  });

  it('drops the second announcement of the same exit, not the exit of the next start', () => {
    const decoder = new BusDecoder();
    expect(decoder.decode(exit({ status: 'stopping' }))).not.toBeNull();
    expect(decoder.decode(exit({ status: 'stopped' }))).toBeNull();
    expect(decoder.decode(exit({ pm_uptime: 2_000 }))).toMatchObject({ exit: { startedAtMs: 2_000 } });
  });

  it('takes the second announcement of an exit that was not asked for as a stop by hand', () => {
    const decoder = new BusDecoder();
    expect(decoder.decode(exit({ restart_delay: 5_000 }))).toMatchObject({ exit: { asked: false } });
    expect(decoder.decode(exit({ restart_delay: 5_000 }))).toEqual({
      stopped: { service: 'web', pmId: 3, startedAtMs: 1_000, application: APPLICATION },
    });
  });

  it('does not let one instance inherit the signal of another, or of an earlier exit', () => {
    const decoder = new BusDecoder();
    decoder.decode(line('App [web:3] exited with code [0] via signal [SIGSEGV]'));
    expect(decoder.decode(exit({ pm_id: 4 }))).toMatchObject({ exit: { pmId: 4, signal: null } });
    expect(decoder.decode(exit())).toMatchObject({ exit: { pmId: 3, signal: 'SIGSEGV' } });
    expect(decoder.decode(exit({ pm_uptime: 2_000 }))).toMatchObject({ exit: { signal: null } });
  });

  it('believes only the daemon, whatever an application sends', () => {
    const decoder = new BusDecoder();
    decoder.decode(line('App [web:3] exited with code [0] via signal [SIGKILL]', 3));
    expect(decoder.decode(exit())).toMatchObject({ exit: { signal: null } });
    const process = { name: 'web', pm_id: 3 };
    expect(decoder.decode(frame('process:event', { at: 1, data: { event: 'exit' }, process }))).toBeNull();
  });

  it('knows why PM2 restarts by itself, and believes only the daemon', () => {
    const decoder = new BusDecoder();
    const watch = 'Change detected on path logs/a b.log for app My API - restarting';
    expect(decoder.decode(line(watch))).toEqual({
      restarting: { about: { name: 'My API' }, cause: { by: 'watch', path: 'logs/a b.log' } },
    });
    expect(decoder.decode(line(watch, 3))).toBeNull();
    const memory =
      '[PM2][WORKER] Process 1 restarted because it exceeds --max-memory-restart value (current_memory=84074496 max_memory_limit=83886080 [octets])';
    expect(decoder.decode(line(memory))).toEqual({
      restarting: {
        about: { pmId: 1 },
        cause: { by: 'memory', memoryBytes: 84_074_496, limitBytes: 83_886_080 },
      },
    });
  });

  it('reports a launch, and nothing about other traffic', () => {
    const decoder = new BusDecoder();
    const online = { event: 'online', process: { name: 'web', pm_id: 3 }, at: 1 };
    expect(decoder.decode(frame('process:event', online))).toEqual({ online: { service: 'web', pmId: 3 } });
    expect(decoder.decode([Buffer.from('s:log:out'), Buffer.from('j:{ not even JSON')])).toBeNull();
    expect(decoder.decode([])).toBeNull();
  });

  it('survives any payload', () => {
    fc.assert(
      fc.property(fc.constantFrom('process:event', 'log:PM2'), fc.jsonValue(), (event, payload) => {
        new BusDecoder().decode(frame(event, payload));
      }),
    );
  });
});
