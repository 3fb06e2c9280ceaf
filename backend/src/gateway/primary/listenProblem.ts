/**
 * Why a gateway cannot listen, and what to do about it, for people.
 * @param holder whoever has the port, where that is known.
 */
export function explainListenProblem(
  problem: { readonly code: string; readonly message: string },
  { host, port }: { readonly host: string; readonly port: number },
  holder: string | null,
): string {
  switch (problem.code) {
    case 'EADDRINUSE': {
      const by = holder === null ? '' : ` by ${holder}`;
      return `Port ${port} on ${host} is taken${by}. End that process, or set BALANCER_PORT to a free port.`;
    }
    case 'EACCES':
      return `This user may not listen on port ${port}. Set BALANCER_PORT to a port above 1023.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine. Set BALANCER_HOST to one that is, e.g. 0.0.0.0.`;
    default:
      return `The gateway cannot listen on ${host}:${port}: ${problem.message}`;
  }
}
