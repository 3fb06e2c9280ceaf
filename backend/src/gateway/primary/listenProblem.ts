/** What came of starting a gateway. */
export type StartOutcome =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      /** The one that could not be had, where that is what failed. */
      readonly port?: number;
    };

/** What only a person can mend; anything else may pass by itself. */
const STAYS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'ENOTFOUND', 'EINVAL', 'tls.certificates']);

/**
 * Whether another try may succeed: a port is given back, an address is moved to this machine (keepalived, DHCP at boot),
 * workers that a busy machine starves come up later.
 */
export function mayPass({ code }: Extract<StartOutcome, { ok: false }>): boolean {
  return !STAYS.has(code);
}

/**
 * Why a gateway cannot listen, and what to do about it, for people.
 * @param holder whoever has the port, where that is known.
 */
export function explainListenProblem(
  problem: Extract<StartOutcome, { ok: false }>,
  address: { readonly host: string; readonly port: number },
  holder: string | null,
): string {
  const { host } = address;
  const port = problem.port ?? address.port;
  const setting = port === address.port ? 'BALANCER_PORT' : 'TLS_PORT';
  switch (problem.code) {
    case 'EADDRINUSE': {
      const by = holder === null ? '' : ` by ${holder}`;
      return `Port ${port} on ${host} is taken${by}. End that process, or set ${setting} to a free port.`;
    }
    case 'EACCES':
      return `This user may not listen on port ${port}. Set ${setting} to a port above 1023.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine. Set BALANCER_HOST to one that is, e.g. 0.0.0.0.`;
    case 'tls.certificates':
      return problem.message;
    default:
      return `The gateway cannot listen on ${host}:${port}: ${problem.message}`;
  }
}
