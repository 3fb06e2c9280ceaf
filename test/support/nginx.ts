/** nginx from the distribution as an upstream of a test's own: in a temporary folder, on free ports. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { canRun, freePort, PrivateServer, requireBinary } from './privateServer.js';

export const nginxAvailable = canRun('nginx-light', ['nginx']);

export interface CountingNginx {
  readonly port: number;
  /** `METHOD /path` of every request that arrived with its whole body, in the order of their end. */
  requests(): string[];
  dispose(): Promise<void>;
}

/**
 * Answers everything with 200 and remembers it. A request counts when its body is complete, because one half of it
 * reads all of a body before it asks the other half, which does the counting.
 */
export async function startCountingNginx(): Promise<CountingNginx> {
  const countingPort = await freePort();
  const server = await PrivateServer.prepare({
    name: 'nginx',
    binary: requireBinary('nginx', 'nginx-light'),
    args: (folder) => ['-p', folder, '-c', `${folder}/nginx.conf`, '-e', `${folder}/error.log`],
    ready: async (_folder, port) => {
      await fetch(`http://127.0.0.1:${port}/ready`);
    },
  });
  await writeFile(path.join(server.folder, 'nginx.conf'), config(server.port, countingPort));
  try {
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return {
    port: server.port,
    requests: () =>
      readFileSync(path.join(server.folder, 'requests.log'), 'latin1')
        .split('\n')
        .filter((line) => line !== '' && !line.endsWith(' /ready')),
    dispose: () => server.dispose(),
  };
}

function config(port: number, countingPort: number): string {
  return `
daemon off;
# One process, so that none is left when it is killed.
master_process off;
user root;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  keepalive_requests 1000000;
  log_format counting '$request_method $request_uri';
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${countingPort};
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }
  }
  server {
    listen 127.0.0.1:${countingPort};
    access_log requests.log counting;
    location / { return 200 "ok"; }
  }
}
`;
}
