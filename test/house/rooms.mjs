/**
 * Draws the arrows between the rooms of services/, domain/ and gateway/, and fails where one points upwards, where rooms
 * import each other in a circle, or where the plan (roomsPlan.mjs) and the code differ. Imports of types count like any
 * other: to read a file is to know what it names. Tests, and what only tests use (testing/), are left out.
 *
 *   node test/house/rooms.mjs [root of the repository]
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PLAN } from './roomsPlan.mjs';

/** @param {string} folder @returns {Map<string, Set<string>>} each file of the folder, and which of the others it imports. */
function importsIn(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !/(^|\/)testing\//.test(name));
  const files = new Map(names.sort().map((name) => [name, new Set()]));
  for (const [name, targets] of files) {
    const text = readFileSync(join(folder, name), 'utf8').replaceAll(/^\s*(\/\*\*?|\*|\/\/).*$/gm, '');
    for (const [, specifier] of text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(\.[^']+)\.js'/g)) {
      const target = posix.join(posix.dirname(name), `${specifier}.ts`);
      if (files.has(target) && target !== name) targets.add(target);
    }
  }
  return files;
}

/** The room of a file is the folder in which it lies; a file that lies in none is a room of its own. */
const roomOf = (file) => file.split('/')[0].replace(/\.ts$/, '');

function arrowsBetweenRooms(files) {
  const rooms = new Map([...files.keys()].map((name) => [roomOf(name), new Map()]));
  for (const [file, targets] of files) {
    for (const target of targets) {
      if (roomOf(file) === roomOf(target)) continue;
      const examples = rooms.get(roomOf(file));
      examples.set(roomOf(target), [...(examples.get(roomOf(target)) ?? []), `${file} → ${target}`]);
    }
  }
  return rooms;
}

/** Groups of nodes that reach each other (Tarjan), in the order from the ground up. */
function circlesAndLevels(graph) {
  const order = new Map();
  const lowest = new Map();
  const stack = [];
  const groups = [];
  const visit = (node) => {
    order.set(node, order.size);
    lowest.set(node, order.get(node));
    stack.push(node);
    for (const target of graph.get(node)) {
      if (!order.has(target)) visit(target);
      if (stack.includes(target)) lowest.set(node, Math.min(lowest.get(node), lowest.get(target)));
    }
    if (lowest.get(node) === order.get(node)) groups.push(stack.splice(stack.indexOf(node)));
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  const levelOf = new Map();
  for (const group of groups) {
    const below = group.flatMap((node) => [...graph.get(node)]).filter((target) => !group.includes(target));
    const level = Math.max(0, ...below.map((target) => levelOf.get(target))) + 1;
    for (const node of group) levelOf.set(node, level);
  }
  return {
    circles: groups.filter((group) => group.length > 1).map((group) => group.sort()),
    levels: Math.max(0, ...levelOf.values()),
  };
}

/** @returns {string[]} a sentence for each difference between the plan of a folder and its arrows. */
function problemsOf(folder, rooms, plan, circles) {
  const names = plan.map(({ room }) => room);
  const problems = circles.map(
    (circle) => `${folder}: rooms import each other in a circle: ${circle.join(', ')}`,
  );
  for (const room of rooms.keys())
    if (!names.includes(room)) problems.push(`${folder}/${room} is not in test/house/roomsPlan.mjs`);
  for (const [floor, { room, imports }] of plan.entries()) {
    const arrows = rooms.get(room);
    if (arrows === undefined) {
      problems.push(`${folder}/${room} is in test/house/roomsPlan.mjs and does not exist`);
      continue;
    }
    for (const above of imports.filter((target) => names.indexOf(target) >= floor || !names.includes(target)))
      problems.push(`${folder}/${room} lists ${above}, which is not a room before it`);
    for (const [target, examples] of arrows) {
      if (imports.includes(target)) continue;
      const upwards = names.indexOf(target) > floor ? 'points upwards' : 'is not in the plan';
      problems.push(`${folder}: the arrow ${room} → ${target} ${upwards}: ${examples.join(', ')}`);
    }
    for (const unused of imports.filter((target) => !arrows.has(target)))
      problems.push(`${folder}/${room} lists ${unused} and imports nothing of it`);
  }
  return problems;
}

const count = (graph) => [...graph.values()].reduce((sum, targets) => sum + (targets.size ?? 0), 0);

function row(folder, what, graph, { circles, levels }) {
  const largest = Math.max(0, ...circles.map(({ length }) => length));
  const cells = [folder, what, graph.size, count(graph), levels, circles.length, largest];
  const widths = [10, 7, 6, 7, 7, 8, 15];
  return cells
    .map((cell, at) => (at < 2 ? String(cell).padEnd(widths[at]) : String(cell).padStart(widths[at])))
    .join('');
}

const root = process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url));
const table = ['folder    nodes   count arrows levels circles largest circle'];
const details = [];
const problems = [];
for (const [path, plan] of Object.entries(PLAN)) {
  const folder = posix.basename(path);
  if (!existsSync(join(root, path))) throw new Error(`there is no ${join(root, path)}`);
  const files = importsIn(join(root, path));
  const rooms = arrowsBetweenRooms(files);
  const graph = new Map([...rooms].map(([room, targets]) => [room, new Set(targets.keys())]));
  const ofRooms = circlesAndLevels(graph);
  table.push(row(folder, 'files', files, circlesAndLevels(files)), row(folder, 'rooms', graph, ofRooms));
  for (const { room } of plan) {
    const targets = [...(graph.get(room) ?? [])];
    details.push(`${folder}/${room} → ${targets.join(' ') || '–'}`);
  }
  if (plan.length > 0) problems.push(...problemsOf(folder, rooms, plan, ofRooms.circles));
}
console.log([...table, '', ...details].join('\n'));
if (problems.length > 0) {
  console.log(`\n${problems.join('\n')}`);
  process.exitCode = 1;
}
