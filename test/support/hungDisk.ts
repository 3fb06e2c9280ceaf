/**
 * A disk that hangs, as a dead NFS server makes one: a file system of the kernel's FUSE whose other side never answers. Every call
 * below its folder waits, until the disk goes on; those calls then fail, and what lay in the folder before is there again.
 * Needs root and Linux. It goes on by itself after 30 s: also where a test would wait for it for ever.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LONGEST_S = 30;

export class HungDisk {
  readonly #folder: string;
  readonly #keeper: ChildProcess;

  private constructor(folder: string, keeper: ChildProcess) {
    this.#folder = folder;
    this.#keeper = keeper;
  }

  /** From now on nothing in that folder answers. */
  static over(folder: string): HungDisk {
    const device = openSync('/dev/fuse', 'r+');
    try {
      const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
      const { status, stderr } = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'hung', folder], {
        stdio: ['ignore', 'ignore', 'pipe', device],
      });
      if (status !== 0) throw new Error(`no disk can be hung over ${folder}: ${String(stderr)}`);
      const keeper = spawn('sleep', [String(LONGEST_S)], { stdio: ['ignore', 'ignore', 'ignore', device] });
      return new HungDisk(folder, keeper);
    } finally {
      closeSync(device);
    }
  }

  /** Idempotent. */
  async goOn(): Promise<void> {
    const isOver = this.#keeper.exitCode !== null || this.#keeper.signalCode !== null;
    if (!isOver) {
      const ended = new Promise((resolve) => this.#keeper.once('exit', resolve));
      this.#keeper.kill('SIGKILL');
      await ended;
    }
    spawnSync('umount', ['-l', this.#folder]);
  }
}

/** Whether this machine lets a test do so. */
export const canHang = ((): boolean => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-hung-'));
  try {
    void HungDisk.over(folder).goOn();
    return true;
  } catch {
    return false;
  } finally {
    spawnSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  }
})();
