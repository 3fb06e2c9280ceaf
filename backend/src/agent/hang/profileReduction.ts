/**
 * A sampling heap profile, cut down to what one looks at: the heaviest nodes with the way that leads to them. Stays a
 * profile that Chrome's developer tools open (`.heapprofile`).
 *
 * A node weighs what it and everything below it holds, so a parent is never lighter than its child, and the N heaviest
 * nodes always form a tree. What is left out below a node becomes one child `(others)` of it: sums stay true.
 */
import type { Runtime } from 'node:inspector';

/** As V8 gives it (Node's types leave the number out). */
export interface ProfileNode {
  readonly callFrame: Runtime.CallFrame;
  /** Bytes that were allocated here and are still alive, by the sample. */
  readonly selfSize: number;
  readonly id?: number;
  readonly children: readonly ProfileNode[];
}

/** What a profile may hold after the cut; `samples` is the tools' timeline, of which nothing is kept. */
export interface ReducedProfile {
  readonly head: ProfileNode;
  readonly samples: readonly never[];
}

const MAX_NAME_LENGTH = 300;

/** `maxNodes` counts the root and leaves out the `(others)`, of which there are at most as many again. */
export function reduceProfile(head: ProfileNode, maxNodes: number): ReducedProfile {
  const weights = weigh(head);
  const heaviest = [...weights.entries()].sort((a, b) => b[1] - a[1]).slice(0, maxNodes);
  const kept = new Set(heaviest.map(([node]) => node)).add(head);
  let nextId = 0;

  const copy = (node: ProfileNode): ProfileNode => {
    nextId += 1;
    const id = nextId;
    const children = node.children.filter((child) => kept.has(child)).map(copy);
    const othersBytes = node.children
      .filter((child) => !kept.has(child))
      .reduce((sum, child) => sum + (weights.get(child) ?? 0), 0);
    if (othersBytes > 0) {
      nextId += 1;
      children.push({ callFrame: OTHERS, selfSize: othersBytes, id: nextId, children: [] });
    }
    return { callFrame: shorten(node.callFrame), selfSize: node.selfSize, id, children };
  };
  return { head: copy(head), samples: [] };
}

const OTHERS: Runtime.CallFrame = {
  functionName: '(others)',
  scriptId: '0',
  url: '',
  lineNumber: -1,
  columnNumber: -1,
};

/** Bytes held by each node and everything below it. A stack may be deep: no recursion here. */
function weigh(head: ProfileNode): Map<ProfileNode, number> {
  const order: ProfileNode[] = [head];
  for (let at = 0; at < order.length; at += 1) order.push(...(order[at]?.children ?? []));
  const weights = new Map<ProfileNode, number>();
  // Parents come before their children in both.
  for (const node of order) weights.set(node, 0);
  for (const node of order.reverse()) {
    const below = node.children.reduce((sum, child) => sum + (weights.get(child) ?? 0), 0);
    weights.set(node, node.selfSize + below);
  }
  return weights;
}

/** Bundlers and evaluated code bring addresses of any length. */
function shorten(callFrame: Runtime.CallFrame): Runtime.CallFrame {
  return {
    ...callFrame,
    functionName: callFrame.functionName.slice(0, MAX_NAME_LENGTH),
    url: callFrame.url.slice(0, MAX_NAME_LENGTH),
  };
}
