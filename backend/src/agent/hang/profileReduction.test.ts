import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reduceProfile, type ProfileNode } from './profileReduction.js';

function node(functionName: string, selfSize: number, children: readonly ProfileNode[] = []): ProfileNode {
  const callFrame = { functionName, scriptId: '1', url: 'file:///app.js', lineNumber: 1, columnNumber: 2 };
  return { callFrame, selfSize, id: 99, children };
}

const all = (head: ProfileNode): ProfileNode[] => [head, ...head.children.flatMap(all)];
const bytes = (head: ProfileNode): number => all(head).reduce((sum, { selfSize }) => sum + selfSize, 0);

describe('a reduced heap profile', () => {
  it('keeps the heaviest nodes with the way to them, and sums up the rest', () => {
    const head = node('(root)', 0, [
      node('serve', 1, [node('leak', 500), node('light', 3, [node('lighter', 2)])]),
      node('tick', 10),
    ]);
    const reduced = reduceProfile(head, 3).head;
    expect(all(reduced).map(({ callFrame, selfSize }) => [callFrame.functionName, selfSize])).toEqual([
      ['(root)', 0],
      ['serve', 1],
      ['leak', 500],
      ['(others)', 5],
      ['(others)', 10],
    ]);
  });

  const tree = fc.letrec<{ node: ProfileNode }>((tie) => ({
    node: fc.record({
      callFrame: fc.constant(node('f', 0).callFrame),
      selfSize: fc.nat(1_000),
      id: fc.nat(),
      children: fc.oneof({ maxDepth: 5 }, fc.constant([]), fc.array(tie('node'), { maxLength: 5 })),
    }),
  })).node;

  it('holds what the whole one held, in few nodes with numbers of their own', () => {
    fc.assert(
      fc.property(tree, fc.integer({ min: 1, max: 20 }), (head, maxNodes) => {
        const reduced = reduceProfile(head, maxNodes).head;
        const nodes = all(reduced);
        expect(bytes(reduced)).toBe(bytes(head));
        expect(nodes.length).toBeLessThanOrEqual(2 * maxNodes);
        expect(new Set(nodes.map(({ id }) => id)).size).toBe(nodes.length);
      }),
    );
  });
});
