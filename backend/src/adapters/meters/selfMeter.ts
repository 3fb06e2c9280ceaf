/** CPU of this process since the last call, and its memory. */
export function selfMeter(): () => { cpuPercent: number | null; memoryBytes: number } {
  let last = { atMs: performance.now(), cpu: process.cpuUsage() };
  return () => {
    const atMs = performance.now();
    const { user, system } = process.cpuUsage(last.cpu);
    const elapsedMs = atMs - last.atMs;
    const cpuPercent = elapsedMs < 100 ? null : Math.round((user + system) / elapsedMs / 0.1) / 100;
    if (cpuPercent !== null) last = { atMs, cpu: process.cpuUsage() };
    return { cpuPercent, memoryBytes: process.memoryUsage.rss() };
  };
}
