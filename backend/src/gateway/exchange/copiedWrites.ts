/**
 * Writing bytes out of a buffer that is about to be reused.
 *
 * What a socket can't pass on at once it keeps by reference, so bytes of the shared read buffers must be copied first.
 * Nearly always the kernel takes a write at once; then the copy is of no further use and its memory serves the next
 * write, which spares an allocation of up to 64 KB each (most of what passing on a large body would cost). When the
 * socket still holds the copy, it keeps it, and the next write gets fresh memory.
 */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Writable } from 'node:stream';

/** A piece of a body as it is read, and a head before it. */
const SCRATCH_BYTES = 65_536 + 32_768;
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/**
 * Writes `head` (latin1) and a copy of `bytes`, as one piece.
 * @returns as Writable.write.
 */
export function writeCopied(socket: Writable, bytes: Buffer, head = ''): boolean {
  const length = head.length + bytes.length;
  // Only of a plain TCP socket is it known that it no longer refers to what it has written.
  if (length > SCRATCH_BYTES || !(socket instanceof Socket) || socket instanceof TLSSocket) {
    return socket.write(Buffer.concat([Buffer.from(head, 'latin1'), bytes]));
  }
  if (head !== '') scratch.write(head, 'latin1');
  bytes.copy(scratch, head.length);
  const roomLeft = socket.write(scratch.subarray(0, length));
  if (socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  return roomLeft;
}
