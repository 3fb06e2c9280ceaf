import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Cgroup } from './cgroup.js';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

/** A machine with these files; paths relative to `/`. */
function machine(files: Readonly<Record<string, string>>): Cgroup {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-cgroup-'));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return new Cgroup(root);
}

const MOUNT_V2 = '29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
const GIB = 2 ** 30;

describe('cgroup v2', () => {
  const nested = {
    'proc/self/cgroup': '0::/app.slice/holdfast.service\n',
    'proc/self/mountinfo': `22 1 8:1 / / rw - ext4 /dev/sda1 rw\n${MOUNT_V2}`,
    'sys/fs/cgroup/app.slice/cpu.max': '150000 100000\n',
    'sys/fs/cgroup/app.slice/memory.max': `${GIB}\n`,
    'sys/fs/cgroup/app.slice/memory.current': '900000000\n',
    'sys/fs/cgroup/app.slice/memory.stat': 'anon 1\ninactive_file 100000000\nactive_file 5\n',
    'sys/fs/cgroup/app.slice/holdfast.service/cpu.max': 'max 100000\n',
    'sys/fs/cgroup/app.slice/holdfast.service/cpu.stat': 'usage_usec 2500000\nuser_usec 1\n',
    'sys/fs/cgroup/app.slice/holdfast.service/memory.max': `${2 * GIB}\n`,
    'sys/fs/cgroup/app.slice/holdfast.service/memory.current': '300000000\n',
    'sys/fs/cgroup/app.slice/holdfast.service/memory.events': 'low 0\noom 7\noom_kill 3\n',
    'proc/vmstat': 'nr_free_pages 1\noom_kill 99\n',
  };

  test('the tightest ancestor counts', () => {
    const cgroup = machine(nested);
    expect(cgroup.cpuQuotaCores()).toBe(1.5);
    expect(cgroup.availableCores()).toBe(Math.min(2, availableParallelism()));
    expect(cgroup.memoryLimitBytes()).toBe(GIB);
    expect(cgroup.memory()).toEqual({ limitBytes: GIB, availableBytes: GIB - 800_000_000 });
  });

  test('CPU time and OOM kills are those of the own group', () => {
    const cgroup = machine(nested);
    expect(cgroup.cpuUsedMs()).toBe(2500);
    expect(cgroup.oomKills()).toBe(3);
  });

  test('in a container the own group is the root of the mount', () => {
    const files = {
      'proc/self/cgroup': '0::/\n',
      'proc/self/mountinfo': MOUNT_V2,
      'sys/fs/cgroup/cpu.max': '20000 100000\n',
      'sys/fs/cgroup/memory.max': '536870912\n',
    };
    const cgroup = machine(files);
    expect(cgroup.cpuQuotaCores()).toBe(0.2);
    expect(cgroup.availableCores()).toBe(1);
    expect(cgroup.memory()).toEqual({ limitBytes: 536_870_912, availableBytes: 536_870_912 });
  });

  test('more used than allowed leaves nothing, never less', () => {
    const cgroup = machine({
      'proc/self/cgroup': '0::/\n',
      'proc/self/mountinfo': MOUNT_V2,
      'sys/fs/cgroup/memory.max': '1000\n',
      'sys/fs/cgroup/memory.current': '1500\n',
    });
    expect(cgroup.memory()).toEqual({ limitBytes: 1000, availableBytes: 0 });
  });

  test('a group outside our namespace is not searched for elsewhere', () => {
    const cgroup = machine({
      'proc/self/cgroup': '0::/../other\n',
      'proc/self/mountinfo': MOUNT_V2,
      'sys/fs/cgroup/cpu.max': '300000 100000\n',
    });
    expect(cgroup.cpuQuotaCores()).toBe(3);
  });
});

describe('cgroup v1', () => {
  const mounts = [
    '32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
    '35 31 0:32 /docker/abc /sys/fs/cgroup/memory\\040v1 rw shared:7 - cgroup cgroup rw,memory',
    '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
  ].join('\n');
  const container = {
    'proc/self/cgroup': '9:name=systemd:/docker/abc\n4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n',
    'proc/self/mountinfo': mounts,
    'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '250000\n',
    'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
    'sys/fs/cgroup/cpu,cpuacct/cpuacct.usage': '7000000000\n',
    'sys/fs/cgroup/memory v1/memory.limit_in_bytes': '268435456\n',
    'sys/fs/cgroup/memory v1/memory.usage_in_bytes': '200000000\n',
    'sys/fs/cgroup/memory v1/memory.stat': 'cache 1\ntotal_inactive_file 50000000\n',
    'sys/fs/cgroup/memory v1/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
  };

  test('a mount of the container subtree only', () => {
    const cgroup = machine(container);
    expect(cgroup.cpuQuotaCores()).toBe(2.5);
    expect(cgroup.cpuUsedMs()).toBe(7000);
    expect(cgroup.memory()).toEqual({ limitBytes: 268_435_456, availableBytes: 118_435_456 });
    expect(cgroup.oomKills()).toBe(2);
  });

  test('its two ways to say "no limit"', () => {
    const cgroup = machine({
      ...container,
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1\n',
      'sys/fs/cgroup/memory v1/memory.limit_in_bytes': '9223372036854771712\n',
    });
    expect(cgroup.cpuQuotaCores()).toBeNull();
    expect(cgroup.availableCores()).toBe(availableParallelism());
    expect(cgroup.memoryLimitBytes()).toBeNull();
    expect(cgroup.memory()).toBeNull();
  });
});

describe('without usable files', () => {
  test.each([
    {},
    { 'proc/self/cgroup': 'garbage', 'proc/self/mountinfo': 'garbage - x\n\n' },
    { 'proc/self/cgroup': '0::/\n', 'proc/self/mountinfo': MOUNT_V2 },
    {
      'proc/self/cgroup': '0::/\n',
      'proc/self/mountinfo': MOUNT_V2,
      'sys/fs/cgroup/cpu.max': 'what\n',
      'sys/fs/cgroup/memory.max': '\n',
    },
  ])('there is no limit: %j', (files) => {
    const cgroup = machine(files as Record<string, string>);
    expect(cgroup.cpuQuotaCores()).toBeNull();
    expect(cgroup.memory()).toBeNull();
    expect(cgroup.cpuUsedMs()).toBeNull();
    expect(cgroup.oomKills()).toBeNull();
    expect(cgroup.availableCores()).toBe(availableParallelism());
  });

  test('OOM kills are those of the machine where the group does not tell', () => {
    const files = { 'proc/self/cgroup': '0::/\n', 'proc/self/mountinfo': MOUNT_V2 };
    expect(machine({ ...files, 'proc/vmstat': 'pgfault 1\noom_kill 4\n' }).oomKills()).toBe(4);
  });
});
