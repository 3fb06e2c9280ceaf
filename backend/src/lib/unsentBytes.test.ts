import { expect, it } from 'vitest';
import { unsentIn } from './unsentBytes.js';

it('the kernel’s list says what of a connection has not arrived', () => {
  const rows = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0',
    '   1: 0100007F:1F90 0100007F:C350 01 000000FF:00000000 01:00000014 00000000     0        0 2 1 0 20 4 30 10 -1',
    '   2: 0100007F:C350 0100007F:1F90 01 00000001:00000000 01:00000014 00000000     0        0 3 1 0 20 4 30 10 -1',
    '   3: 0100007F:1F90 0200007F:C350 01 00000001:00000000 01:00000014 00000000     0        0 4 1 0 20 4 30 10 -1',
    '   4: 0100007F:1F91 0100007F:C350 01 00000009:00000000 01:00000014 00000000     0        0 5 1 0 20 4 30 10 -1',
    '   5: 0100007F:1F90 0100007F:C351 06 00000009:00000000 01:00000014 00000000     0        0 6 1 0 20 4 30 10 -1',
  ].join('\n');
  expect(unsentIn(rows, 0x1f90, 0xc350)).toBe(0x100);
  expect(unsentIn(rows, 0xc350, 0x1f90)).toBe(1);
  expect(unsentIn(rows, 0x1f90, 0xc351)).toBeNull();
  expect(unsentIn('', 1, 2)).toBeNull();
});
