/** The Close frame of somebody who leaves (RFC 6455 sections 5.5.1 and 7.4.1): "going away", clients come back at once. */
const FIN_CLOSE = 0x88;
const MASKED = 0x80;
const GOING_AWAY = 1001;
const HIGH_BYTE = GOING_AWAY >> 8;
const LOW_BYTE = GOING_AWAY & 0xff;

/** As a server sends it. */
export function closeFrame(): Buffer {
  return Buffer.from([FIN_CLOSE, 2, HIGH_BYTE, LOW_BYTE]);
}

/** As a client sends it. @param mask any number; what a client sends is masked with 32 bits of it. */
export function maskedCloseFrame(mask: number): Buffer {
  const frame = Buffer.from([FIN_CLOSE, MASKED | 2, 0, 0, 0, 0, HIGH_BYTE, LOW_BYTE]);
  frame.writeUInt32BE(mask >>> 0, 2);
  frame[6] = HIGH_BYTE ^ (frame[2] ?? 0);
  frame[7] = LOW_BYTE ^ (frame[3] ?? 0);
  return frame;
}
