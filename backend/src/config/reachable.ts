/** An URL to connect to, for an address to listen on: what listens everywhere is reached on loopback. */
export function reachableUrl(host: string, port: number): string {
  const address = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
