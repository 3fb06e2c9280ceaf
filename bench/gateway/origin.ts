/**
 * What all proxies forward to: one nginx worker, because it answers for a fraction of what a proxy costs. Static
 * answers of three sizes at paths of their own; bodies of requests are read and thrown away. It listens on every
 * address of the loopback network, so that it can be any number of upstreams.
 */
import { freePort } from '../../test/support/privateServer.js';
import { OTHER_CORE, PinnedProcess } from './processes.js';

export const SMALL_PATH = '/small';
export const LARGE_PATH = '/large';
/** Answers when the whole body has been read; anywhere else nginx does not wait for it. */
export const UPLOAD_PATH = '/upload';
export const LARGE_BYTES = 100 * 1024;

export interface Origin {
  readonly port: number;
  end(): Promise<void>;
}

export async function startOrigin(nginx: string): Promise<Origin> {
  const port = await freePort();
  const server = new PinnedProcess({
    name: 'origin',
    core: OTHER_CORE,
    files: { 'nginx.conf': config(port), large: 'x'.repeat(LARGE_BYTES) },
    command: (folder) => [nginx, '-p', folder, '-c', `${folder}/nginx.conf`, '-e', `${folder}/error.log`],
  });
  try {
    await server.answers(port, SMALL_PATH);
  } catch (error) {
    await server.end();
    throw error;
  }
  return { port, end: () => server.end() };
}

function config(port: number): string {
  return `
daemon off;
worker_processes 1;
user root;
pid nginx.pid;
events { worker_connections 18000; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path body;
  client_max_body_size 0;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  server {
    listen ${port} backlog=4096;
    location = ${LARGE_PATH} { root .; }
    location = ${UPLOAD_PATH} {
      client_body_buffer_size 2m;
      proxy_pass http://127.0.0.1:${port}${SMALL_PATH};
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }
    location / { return 200 "Hello, this is a small answer.\\n"; }
  }
}
`;
}
