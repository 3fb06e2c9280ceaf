/**
 * The messages of /ws, one JSON object per frame:
 *
 *   client                                         server
 *   {type: "subscribe", group}                     {type: "subscribed", group}
 *   {type: "unsubscribe", group}                   {type: "unsubscribed", group}
 *   {type: "publish", group, data}                 {type: "published", group, reach}
 *                                                  {type: "message", group, data}   to every subscriber
 *                                                  {type: "error", code, message}   the frame had no effect
 *
 * `reach` is `cluster` when the message went to the other instances too, else `instance`.
 *
 * Other clients say `subscribe_group`, `unsubscribe_group` and `group_message` for the first three. A client that
 * subscribed by `subscribe_group` gets the group's messages as `group_message`.
 */
import { z } from 'zod/v3';

export const MAX_FRAME_BYTES = 16 * 1024;

const group = z
  .string()
  .regex(
    /^[A-Za-z0-9_.:-]{1,64}$/,
    'group: give 1 to 64 letters, digits, underscores, dots, colons or dashes',
  );

const clientMessage = z.discriminatedUnion('type', [
  z.object({ type: z.literal('subscribe'), group }).strict(),
  z.object({ type: z.literal('subscribe_group'), group }).strict(),
  z.object({ type: z.literal('unsubscribe'), group }).strict(),
  z.object({ type: z.literal('unsubscribe_group'), group }).strict(),
  z.object({ type: z.literal('publish'), group, data: z.unknown() }).strict(),
  z.object({ type: z.literal('group_message'), group, data: z.unknown() }).strict(),
]);

/** What a message of a group is called, by what the client subscribed with. */
export const DELIVERED_AS = { subscribe: 'message', subscribe_group: 'group_message' } as const;
export type DeliveryType = (typeof DELIVERED_AS)[keyof typeof DELIVERED_AS];

export type ClientMessage = z.infer<typeof clientMessage>;

export type ServerMessage =
  | { readonly type: 'subscribed' | 'unsubscribed'; readonly group: string }
  | { readonly type: 'published'; readonly group: string; readonly reach: 'cluster' | 'instance' }
  | { readonly type: DeliveryType; readonly group: string; readonly data: unknown }
  | { readonly type: 'error'; readonly code: string; readonly message: string };

export type Decoded =
  { readonly ok: true; readonly message: ClientMessage } | { readonly ok: false; readonly problem: string };

export function decode(text: string): Decoded {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, problem: 'not JSON' };
  }
  const result = clientMessage.safeParse(json);
  if (result.success) return { ok: true, message: result.data };
  return { ok: false, problem: result.error.issues[0]?.message ?? 'unknown message' };
}
