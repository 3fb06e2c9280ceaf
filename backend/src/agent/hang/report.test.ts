import { describe, expect, it } from 'vitest';
import { takeReport, trimReport } from './report.js';

describe('a diagnostic report', () => {
  it('leaves out environment, arguments, interfaces and addresses', () => {
    const trimmed = trimReport({
      header: {
        cwd: '/app',
        nodejsVersion: 'v20.20.2',
        commandLine: ['/usr/bin/node', '/app/server.js', '--token=SECRET'],
        networkInterfaces: [{ address: 'SECRET' }],
        cpus: [{ model: 'SECRET' }, { model: 'SECRET' }],
      },
      environmentVariables: { PASSWORD: 'SECRET' },
      libuv: [{ type: 'tcp', fd: 20, localEndpoint: { host: 'SECRET' }, remoteEndpoint: { host: 'SECRET' } }],
      resourceUsage: { rss: 1 },
    });
    expect(JSON.stringify(trimmed)).not.toContain('SECRET');
    expect(trimmed).toEqual({
      header: {
        cwd: '/app',
        nodejsVersion: 'v20.20.2',
        commandLine: ['/usr/bin/node', '… 2 more'],
        cpus: 2,
      },
      libuv: [{ type: 'tcp', fd: 20 }],
      resourceUsage: { rss: 1 },
      sharedObjects: [],
    });
  });

  it('is bounded, whatever is in it', () => {
    const long = 'x'.repeat(1_000_000);
    const many = Array.from({ length: 10_000 }, () => ({ type: 'tcp', text: 'y' }));
    let deep: unknown = 'bottom';
    for (let level = 0; level < 1_000; level += 1) deep = { deep };
    const trimmed = trimReport({ header: { long }, long, many, deep, libuv: many, sharedObjects: many });
    expect(JSON.stringify(trimmed).length).toBeLessThan(20_000);
  });

  it('of this process is short, says what it is, and changes no setting of the application', () => {
    const report = takeReport();
    const { excludeNetwork } = process.report as unknown as { excludeNetwork: boolean };
    expect(excludeNetwork).toBe(false);
    expect(report).toMatchObject({
      header: { processId: process.pid },
      mainThread: { state: expect.stringMatching(/^[RSD]$/) },
    });
    expect(report).not.toHaveProperty('environmentVariables');
    expect(JSON.stringify(report).length).toBeLessThan(128 * 1024);
  });
});
