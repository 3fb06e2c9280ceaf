/** HAProxy and nginx as somebody would set them up who wants of them what the gateway does by default. */
import type { Upstreams } from './proxies.js';

/** One thread; X-Forwarded-For, -Proto, -Host, X-Real-IP and a request id; an HTTP check every 30 s; no log. */
export function haproxyConfig(port: number, upstreams: Upstreams): string {
  return `
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  option http-keep-alive
  http-reuse always
  option forwardfor
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout client 30s
  timeout connect 3s
  timeout server 60s
  timeout tunnel 1h
  timeout queue 5s
  retries 3
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  maxconn 9000
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Real-IP %[src]
  default_backend origin
backend origin
  balance roundrobin
  option httpchk GET /health
  default-server inter 30s fastinter 1s fall 3 rise 2 check
${upstreams.map((address, index) => `  server u${index} ${address}`).join('\n')}
`;
}

/** One worker; the same fields and time-outs. Its free edition has no active checks; bodies are streamed, no log. */
export function nginxConfig(port: number, upstreams: Upstreams): string {
  return `
daemon off;
worker_processes 1;
user root;
pid nginx.pid;
events { worker_connections 18000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  client_max_body_size 1g;
  keepalive_requests 1000000000;
  keepalive_timeout 60s;
  client_header_timeout 10s;
  client_body_timeout 30s;
  map $http_upgrade $hop { default upgrade; '' ''; }
  upstream origin {
${upstreams.map((address) => `    server ${address};`).join('\n')}
    keepalive 256;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_connect_timeout 3s;
      proxy_read_timeout 3600s;
      proxy_set_header Host $host;
      proxy_set_header Connection $hop;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Request-Id $request_id;
    }
  }
}
`;
}
