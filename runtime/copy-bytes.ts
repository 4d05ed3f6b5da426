/**
 * Copies a part of bytes. Where they are a Buffer, as they mostly are, this needs no view of it.
 */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Buffer, at: number): void {
  if (Buffer.isBuffer(from)) {
    from.copy(to, at, start, end);
  } else {
    to.set(from.subarray(start, end), at);
  }
}
