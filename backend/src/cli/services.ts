/** Finding the service that was named, or saying which there are. */
import { HoldfastError } from '../domain/errors.js';
import type { ServiceView } from '../domain/views/serviceView.js';
import type { StatusView } from '../domain/views/controlPlane.js';
import { nearest } from '../lib/editDistance.js';
import type { ApiClient } from './apiClient.js';

/** @throws HoldfastError `service.unknown`, which names the nearest one and lists all. */
export async function findService(api: ApiClient, name: string): Promise<ServiceView> {
  const { services } = (await api.get<StatusView>('/api/ha/status')).data;
  const found = services.find((service) => service.name === name);
  if (found !== undefined) return found;
  throw unknownService(
    name,
    services.map((service) => service.name),
  );
}

export function unknownService(name: string, known: readonly string[]): HoldfastError {
  const list = known.length === 0 ? 'The supervisor looks after none.' : `There are: ${known.join(', ')}.`;
  return new HoldfastError('service.unknown', `There is no service "${name}".${meant(name, known)} ${list}`);
}

/** " Did you mean …?", or nothing. A part of a name counts, too. */
export function meant(word: string, known: readonly string[]): string {
  const lower = word.toLowerCase();
  const near =
    nearest(lower, known, (candidate) => Math.max(2, Math.floor(candidate.length / 3))) ??
    known.find((candidate) => lower !== '' && candidate.toLowerCase().includes(lower)) ??
    null;
  return near === null ? '' : ` Did you mean ${near}?`;
}
