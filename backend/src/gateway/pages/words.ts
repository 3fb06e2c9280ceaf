/** Figures as people read them. A thin space stands between a number and its unit; null is a dash. */

const MISSING = '–';
/** U+202F, narrow and not to be broken. */
const THIN = '\u202f';

/** 1234567 → `1 234 567`; large ones with a letter: `12.3 M`. */
export function inCount(value: number): string {
  if (value >= 1e9) return `${short(value / 1e9)}${THIN}G`;
  if (value >= 1e7) return `${short(value / 1e6)}${THIN}M`;
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, THIN);
}

export function inRate(perSecond: number): string {
  if (perSecond > 0 && perSecond < 0.05) return '< 0.1';
  return perSecond < 10 ? short(perSecond) : inCount(perSecond);
}

/** 0.84 ms, 12 ms, 1.2 s. */
export function inMs(ms: number | null): string {
  if (ms === null) return MISSING;
  if (ms < 1) return `${ms.toFixed(2)}${THIN}ms`;
  if (ms < 10) return `${ms.toFixed(1)}${THIN}ms`;
  if (ms < 1_000) return `${Math.round(ms)}${THIN}ms`;
  return `${short(ms / 1_000)}${THIN}s`;
}

/** A share 0–1: `0 %`, `0.02 %`, `12 %`; anything that is not all never reads as 100 %. */
export function inPercent(share: number | null): string {
  if (share === null) return MISSING;
  const percent = share * 100;
  if (percent === 0 || percent === 100) return `${percent}${THIN}%`;
  if (percent > 99) return `${floorTo(percent, 2)}${THIN}%`;
  if (percent < 0.01) return `<${THIN}0.01${THIN}%`;
  return `${percent < 1 ? percent.toFixed(2) : percent < 10 ? percent.toFixed(1) : Math.round(percent)}${THIN}%`;
}

/** How long: `45 s`, `12 min`, `3 h 20 min`, `5 d 3 h`. */
export function inDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds}${THIN}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}${THIN}min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return withRest(hours, 'h', minutes % 60, 'min');
  return withRest(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** `shop-backend` → `Shop backend`: what people outside may read. */
export function inPlainName(name: string): string {
  const spaced = name.replace(/[-_.]+/g, ' ').trim();
  return spaced === '' ? name : spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

function withRest(whole: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${whole}${THIN}${unit}` : `${whole}${THIN}${unit} ${rest}${THIN}${restUnit}`;
}

function short(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10);
}

function floorTo(value: number, digits: number): string {
  return (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);
}
