/** What one setting is. All of them stand in schema.ts and gatewaySchema.ts. */
import type { Kind } from './kinds.js';

export interface Setting<T> {
  readonly kind: Kind<unknown>;
  /** null: unset. */
  readonly default: T;
  readonly doc: string;
  /** Its value is never shown. */
  readonly secret: boolean;
  /** A change applies without a restart of the process that it is for. */
  readonly live: boolean;
}

export type Registry = Readonly<Record<string, Setting<unknown>>>;

/** As documentation shows them. */
export interface SettingGroup {
  readonly title: string;
  readonly settings: Registry;
}

export type Traits = Partial<Pick<Setting<unknown>, 'secret' | 'live'>>;

export function setting<T>(kind: Kind<T>, standard: T, doc: string, traits: Traits = {}): Setting<T> {
  return { kind, default: standard, doc, secret: false, live: true, ...traits };
}

export function optional<T>(kind: Kind<T>, doc: string, traits: Traits = {}): Setting<T | null> {
  return { kind, default: null, doc, secret: false, live: true, ...traits };
}

export const AT_START: Traits = { live: false };
export const SECRET_AT_START: Traits = { live: false, secret: true };

type ValueOf<S> = S extends Setting<infer T> ? T : never;
export type Values<Registry> = { readonly [K in keyof Registry]: ValueOf<Registry[K]> };

/** Of one service. */
export const MOST_INSTANCES = 512;
