/** Whether a host name or address means this machine: as far as it can be told without asking DNS. */
import { hostname, networkInterfaces } from 'node:os';

/** @param host in lower case; IPv6 without brackets. */
export function isOwnAddress(host: string): boolean {
  const plain = host.replace(/^::ffff:(?=[\d.]+$)/, '').replace(/\.$/, '');
  if (plain === 'localhost' || plain.endsWith('.localhost') || plain === hostname().toLowerCase())
    return true;
  if (/^127\.\d+\.\d+\.\d+$/.test(plain) || plain === '0.0.0.0' || plain === '::' || plain === '::1')
    return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === plain),
  );
}
