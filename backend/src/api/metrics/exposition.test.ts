import { beforeEach, expect, it } from 'vitest';
import { startHarness } from '../testing/harness.js';
import type { Harness } from '../testing/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  return () => harness.close();
});

const scrape = async (): Promise<string[]> => {
  const { status, text, headers } = await harness.call('GET', '/metrics');
  expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  return text.split('\n');
};

it('shows services, instances, host, supervisor and itself in base units', async () => {
  const lines = await scrape();
  expect(lines).toEqual(
    expect.arrayContaining([
      'holdfast_build_info{version="1.2.3"} 1',
      'holdfast_management_running 1',
      'holdfast_daemon_connected 1',
      'holdfast_service_instances_desired{service="words"} 2',
      'holdfast_service_state{service="web",state="healthy"} 1',
      'holdfast_service_state{service="web",state="quarantined"} 0',
      'holdfast_service_availability_ratio{service="words"} 0.9990000000000001',
      'holdfast_service_recovery_seconds{service="words"} 0.8',
      'holdfast_service_failures_total{service="words"} 4',
      'holdfast_instance_cpu_ratio{service="words",pm_id="1"} 0.25',
      'holdfast_instance_uptime_seconds{service="words",pm_id="1"} 90',
      'holdfast_instance_response_time_seconds{service="web",pm_id="3",quantile="0.99"} 0.3',
      'holdfast_host_memory_used_ratio 0.4',
      'holdfast_supervisor_memory_bytes 60000000',
      'holdfast_dropped_events_total 2',
      'holdfast_api_stream_clients 0',
    ]),
  );
});

it('has no sample for what was not measured', async () => {
  const text = (await scrape()).filter((line) => !line.startsWith('#')).join('\n');
  expect(text).not.toMatch(/^holdfast_(host_disk_used_ratio|service_scale_reaction_seconds)/m);
  expect(text).not.toMatch(/^holdfast_instance_event_loop/m);
  expect(text).not.toMatch(/NaN|null|undefined/);
});

it('forgets instances that are gone', async () => {
  expect((await scrape()).join('\n')).toContain('pm_id="2"');
  await harness.call('POST', '/api/ha/scale-down', { body: { targetInstances: 1 } });
  expect((await scrape()).join('\n')).not.toContain('pm_id="2"');
});

it('counts requests by route pattern, so that no caller can make labels', async () => {
  for (let n = 0; n < 20; n += 1) {
    await harness.call('GET', `/made-up/${n}`);
    await harness.call('POST', `/api/ha/reset-failure/made-up-${n}`);
  }
  await harness.call('PROPFIND', '/');
  const requests = (await scrape()).filter((line) => line.startsWith('holdfast_api_requests_total'));
  expect(requests).toEqual(
    expect.arrayContaining([
      'holdfast_api_requests_total{method="GET",route="unmatched",status="404"} 20',
      'holdfast_api_requests_total{method="POST",route="/api/ha/reset-failure/:serviceName",status="404"} 20',
      'holdfast_api_requests_total{method="other",route="/",status="405"} 1',
    ]),
  );
});

it('keeps to the naming rules: own prefix, counters end in _total, each with help', async () => {
  const lines = await scrape();
  const types = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ').slice(2));
  expect(new Set(types.map(([name]) => name)).size).toBe(types.length);
  for (const [name = '', type] of types) {
    expect(name).toMatch(/^holdfast_[a-z0-9_]+$/);
    expect(name).not.toMatch(/_(ms|percent|milliseconds)$/);
    expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
    expect(lines.find((line) => line.startsWith(`# HELP ${name} `))?.length).toBeGreaterThan(name.length + 8);
  }
});
