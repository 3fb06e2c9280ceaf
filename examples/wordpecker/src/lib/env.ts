/**
 * Reads settings out of environment variables and keeps every problem it meets, so that a start with three
 * wrong settings says so once and not three times in a row. An empty value counts as not set.
 */
export type Env = Readonly<Record<string, string | undefined>>;

export class SettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

export class EnvReader {
  readonly #env: Env;
  readonly #problems: string[];

  constructor(env: Env, problems: string[] = []) {
    this.#env = env;
    this.#problems = problems;
  }

  /** A reader that sees `extra` over this one's variables; its problems are this one's too. */
  over(extra: Env): EnvReader {
    return new EnvReader({ ...this.#env, ...extra }, this.#problems);
  }

  /** As it is, spaces and all: for passwords. */
  exact(name: string): string {
    return this.#env[name] ?? '';
  }

  text(name: string): string | null {
    const value = this.#env[name]?.trim();
    return value === undefined || value === '' ? null : value;
  }

  /** Digits only: `0x10`, `1e3` and `5.0` are refused, as a port or a time they are more likely a slip. */
  integer(name: string, fallback: number, min: number, max: number): number {
    return this.optionalInteger(name, min, max) ?? fallback;
  }

  optionalInteger(name: string, min: number, max: number): number | null {
    const value = this.text(name);
    if (value === null) return null;
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    this.problem(`${name} is "${value}": give a whole number from ${min} to ${max}`);
    return null;
  }

  flag(name: string): boolean {
    const value = this.text(name);
    if (value === null || value === 'false' || value === '0') return false;
    if (value === 'true' || value === '1') return true;
    this.problem(`${name} is "${value}": give true or false`);
    return false;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T | null {
    const value = this.text(name);
    if (value === null) return null;
    const match = allowed.find((candidate) => candidate === value);
    if (match === undefined) this.problem(`${name} is "${value}": give one of ${allowed.join(', ')}`);
    return match ?? null;
  }

  /** `protocols` with the colon, e.g. `http:`. The value is not repeated in the problem: it may hold a password. */
  url(name: string, protocols: readonly string[]): string | null {
    const value = this.text(name);
    if (value === null) return null;
    if (URL.canParse(value) && protocols.includes(new URL(value).protocol)) return value;
    this.problem(`${name} is not a URL: give one that begins with ${protocols.join('// or ')}//`);
    return null;
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  /** @throws SettingsError naming every problem met so far. */
  finish(): void {
    if (this.#problems.length > 0) throw new SettingsError(this.#problems);
  }
}
