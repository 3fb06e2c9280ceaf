/** The two packages that PM2's wire format is made of ship no types; this is what we use of them. */
declare module 'amp' {
  export function decode(frame: Buffer): Buffer[];
}

declare module 'amp-message' {
  export default class Message {
    constructor(args: unknown[]);
    toBuffer(): Buffer;
  }
}
