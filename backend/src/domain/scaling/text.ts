/** Figures as people read them in a decision's reason. */

export function percent(value: number): string {
  return `${Math.round(value)} %`;
}

export function seconds(durationMs: number): string {
  return durationMs < 10_000 && durationMs % 1000 !== 0
    ? `${(durationMs / 1000).toFixed(1)} s`
    : `${Math.round(durationMs / 1000)} s`;
}

export function count(instances: number): string {
  return instances === 1 ? '1 instance' : `${instances} instances`;
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`;
}
