/**
 * Reads where settings come from: config.yml, .env and the environment. Each gives entries that name a known
 * setting, with a place to point at, and problems for all that can't be one. Values are judged later, in load.ts.
 */
import { parseEnv } from 'node:util';
import { isAlias, isMap, isScalar, LineCounter, parseDocument, type Document, type YAMLMap } from 'yaml';

import { messageOf } from '../domain/errors.js';
import { readFileIfAny } from '../lib/fileWatcher.js';
import { readSecretFile } from '../lib/secretFiles.js';
import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { meantKey, meantVariable, showValue, type Problem } from './problems.js';
import {
  ENVIRONMENT_SETTINGS,
  environmentName,
  GLOBAL_SETTINGS,
  SERVICE_ONLY_SETTINGS,
  SERVICE_SETTINGS,
  type Registry,
  type Setting,
} from './schema.js';
import { isKnownElsewhere, type Mention } from './unused.js';

export interface Entry {
  /** The setting's key. */
  readonly key: string;
  /** The service it is for; null: global. */
  readonly service: string | null;
  readonly setting: Setting<unknown>;
  readonly value: unknown;
  /** As written: `services.shop.maxInstances`, `MAX_INSTANCES`, `HA_API_TOKEN_FILE`. */
  readonly name: string;
  readonly source: string;
}

export interface Reading {
  /** Services that are declared, also those without a setting of their own. */
  readonly services: string[];
  readonly entries: Entry[];
  readonly problems: Problem[];
  readonly warnings: string[];
  /** What can be read of a file that is not valid as a whole. */
  readonly salvaged: Entry[];
  /** Variables that are not settings but known all the same. */
  readonly others: Mention[];
}

const emptyReading = (): Reading => ({
  services: [],
  entries: [],
  problems: [],
  warnings: [],
  salvaged: [],
  others: [],
});

const TOP_LEVEL: Registry = { ...GLOBAL_SETTINGS, ...GATEWAY_SETTINGS, ...SERVICE_SETTINGS };
const PER_SERVICE: Registry = { ...SERVICE_SETTINGS, ...SERVICE_ONLY_SETTINGS };
const SERVICES_KEY = 'services';

/** Everything that a variable can set, by its name there. */
const BY_VARIABLE: ReadonlyMap<string, readonly [key: string, setting: Setting<unknown>]> = new Map(
  Object.entries({ ...TOP_LEVEL, ...ENVIRONMENT_SETTINGS }).map(([key, setting]) => [
    environmentName(key),
    [key, setting],
  ]),
);
/** Secrets, by the name of the variable that names a file with their value: `HA_API_TOKEN_FILE`. */
const BY_FILE_VARIABLE: typeof BY_VARIABLE = new Map(
  [...BY_VARIABLE].filter(([, [, { secret }]]) => secret).map(([name, known]) => [`${name}_FILE`, known]),
);
/** The same in config.yml: `haApiTokenFile`. */
const FILE_KEY = /^(\w+)File$/;
/** They say where .env and config.yml are, so they can't be set in them. */
const NOT_IN_FILES = new Set(['HA_ROOT', 'HA_CONFIG']);

const LARGEST_FILE_CHARACTERS = 1024 * 1024;

/** An empty value is an unset one: `HA_API_TOKEN=` in .env, `maxInstances:` in config.yml. */
const isUnset = (value: unknown): boolean => value === null || value === undefined || value === '';

function readText(file: string, label: string, reading: Reading): string | null {
  const whole = (allowed: string): Problem => ({ source: label, key: '', value: null, allowed });
  try {
    const text = readFileIfAny(file);
    if (text === null || text.length <= LARGEST_FILE_CHARACTERS) return text?.replace(/^\uFEFF/, '') ?? null;
    reading.problems.push(whole('larger than 1 MiB; that is no configuration'));
  } catch (error) {
    reading.problems.push(whole(`cannot be read: ${messageOf(error)}`));
  }
  return null;
}

/** Where a path of a setting leads. */
type Place = (path: string) => string;

/** A secret that is given twice, itself and by a file, has no value that could be meant. */
function takeEntry(reading: Reading, entry: Entry): void {
  const { key, service, name, source } = entry;
  const other = reading.entries.find(
    (one) => one.key === key && one.service === service && one.name !== name,
  );
  reading.entries.push(entry);
  if (other === undefined) return;
  // Told of the file: behind a secret's own name, what follows would be taken for the secret.
  const [file, plain] = /file$/i.test(name) ? [name, other.name] : [other.name, name];
  const allowed = `${plain} is set as well; set one of the two`;
  reading.problems.push({ source, key: file, value: null, allowed });
}

/** @param entry without the value, which is what the file `path` holds. */
function takeSecretFile(reading: Reading, entry: Omit<Entry, 'value'>, path: unknown, place: Place): void {
  const { name, source } = entry;
  const refuse = (allowed: string): void =>
    void reading.problems.push({ source, key: name, value: null, allowed });
  if (typeof path !== 'string') return refuse('expected the path of a file that holds the value');
  const file = place(path.trim());
  try {
    takeEntry(reading, { ...entry, value: readSecretFile(file) });
  } catch (error) {
    refuse(`names ${file}, but ${messageOf(error)}`);
  }
}

/** @param mustExist when somebody named it on purpose. */
export function readYamlFile(file: string, label: string, mustExist: boolean, place: Place): Reading {
  const reading = emptyReading();
  const text = readText(file, label, reading);
  if (text !== null) return readYaml(text, label, reading, place);
  if (mustExist && reading.problems.length === 0) {
    const allowed = `no such file: ${file}. HA_CONFIG names it; correct or unset that`;
    reading.problems.push({ source: label, key: '', value: null, allowed });
  }
  return reading;
}

function readYaml(text: string, label: string, reading: Reading, place: Place): Reading {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    for (const { message, pos } of document.errors) {
      const { line, col } = lines.linePos(pos[0]);
      reading.problems.push({
        source: `${label} line ${line}, column ${col}`,
        key: '',
        value: null,
        allowed: `not valid YAML: ${message}`,
      });
    }
    const partial = emptyReading();
    new YamlReader(document, lines, label, partial, place).readTop();
    reading.salvaged.push(...partial.entries);
    return reading;
  }
  new YamlReader(document, lines, label, reading, place).readTop();
  return reading;
}

/** Walks the two levels of config.yml: settings, and `services.<name>`. */
class YamlReader {
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #label: string;
  readonly #reading: Reading;
  readonly #place: Place;

  constructor(document: Document, lines: LineCounter, label: string, reading: Reading, place: Place) {
    this.#document = document;
    this.#lines = lines;
    this.#label = label;
    this.#reading = reading;
    this.#place = place;
  }

  readTop(): void {
    const contents = this.#document.contents;
    if (contents === null || (isScalar(contents) && contents.value === null)) return;
    if (!isMap(contents)) {
      this.#refuse(contents, '', null, 'a list of settings, one "name: value" a line, was expected');
      return;
    }
    this.#eachPair(contents, '', (key, node, source) => {
      if (key === SERVICES_KEY) this.#readServices(node);
      else this.#readSetting(key, node, source, TOP_LEVEL, null);
    });
  }

  #readServices(node: unknown): void {
    this.#eachPair(this.#mapOf(node, SERVICES_KEY), `${SERVICES_KEY}.`, (service, settings) => {
      const prefix = `${SERVICES_KEY}.${service}`;
      this.#reading.services.push(service);
      this.#eachPair(this.#mapOf(settings, prefix), `${prefix}.`, (key, value, source) => {
        this.#readSetting(key, value, source, PER_SERVICE, service);
      });
    });
  }

  #readSetting(key: string, node: unknown, source: string, registry: Registry, service: string | null): void {
    const name = service === null ? key : `${SERVICES_KEY}.${service}.${key}`;
    const setting = Object.hasOwn(registry, key) ? registry[key] : undefined;
    const value = this.#valueOf(node);
    if (setting === undefined) {
      const secret = FILE_KEY.exec(key)?.[1] ?? '';
      const found = Object.hasOwn(registry, secret) ? registry[secret] : undefined;
      if (found?.secret === true) {
        const entry = { key: secret, service, setting: found, name, source };
        if (!isUnset(value)) takeSecretFile(this.#reading, entry, value, this.#place);
        return;
      }
      this.#reading.problems.push({ source, key: name, value: null, allowed: explainUnknown(key, service) });
      return;
    }
    if (!isUnset(value)) takeEntry(this.#reading, { key, service, setting, value, name, source });
  }

  #valueOf(node: unknown): unknown {
    if (isScalar(node)) return node.value;
    try {
      return (node as { toJS?: (document: Document) => unknown } | null)?.toJS?.(this.#document) ?? null;
    } catch {
      return '(aliases that cannot be resolved)';
    }
  }

  /** The map that `node` is, or null where it is empty or (then that is a problem) something else. */
  #mapOf(node: unknown, name: string): YAMLMap | null {
    const resolved = isAlias(node) ? node.resolve(this.#document) : node;
    if (isMap(resolved)) return resolved;
    const value = this.#valueOf(node);
    if (!isUnset(value)) this.#refuse(node, name, value, 'a map of names to values');
    return null;
  }

  #eachPair(
    map: YAMLMap | null,
    prefix: string,
    visit: (key: string, node: unknown, source: string) => void,
  ): void {
    for (const { key, value } of map?.items ?? []) {
      const name = isScalar(key) && key.value !== null ? String(key.value) : '';
      if (name === '') this.#refuse(key, `${prefix}?`, null, 'a name was expected before the colon');
      else visit(name, value, this.#sourceOf(key));
    }
  }

  #refuse(node: unknown, name: string, value: unknown, allowed: string): void {
    const shown = value === null ? null : showValue(value, false);
    this.#reading.problems.push({ source: this.#sourceOf(node), key: name, value: shown, allowed });
  }

  #sourceOf(node: unknown): string {
    const offset = (node as { range?: readonly number[] | null } | null)?.range?.[0];
    return offset === undefined ? this.#label : `${this.#label} line ${this.#lines.linePos(offset).line}`;
  }
}

function explainUnknown(key: string, service: string | null): string {
  if (service === null) {
    if (Object.hasOwn(SERVICE_ONLY_SETTINGS, key)) return 'belongs to one service: services.<name>.' + key;
    if (Object.hasOwn(ENVIRONMENT_SETTINGS, key))
      return `is read from the environment only, as ${environmentName(key)}`;
  } else if (Object.hasOwn(GLOBAL_SETTINGS, key)) {
    return 'holds for the whole supervisor; it belongs at the top level';
  } else if (Object.hasOwn(GATEWAY_SETTINGS, key)) {
    return 'holds for the whole gateway; it belongs at the top level';
  }
  const known = service === null ? [...Object.keys(TOP_LEVEL), SERVICES_KEY] : Object.keys(PER_SERVICE);
  const meant = meantKey(key, known);
  return meant === null
    ? 'is not a setting; docs/reference/settings.md lists them all'
    : `is not a setting; did you mean ${meant}?`;
}

export function readDotEnvFile(file: string, place: Place): Reading {
  const label = '.env';
  const reading = emptyReading();
  const text = readText(file, label, reading);
  return text === null ? reading : readVariables(parseEnv(text) as NodeJS.ProcessEnv, label, reading, place);
}

export function readEnvironment(env: NodeJS.ProcessEnv, place: Place): Reading {
  return readVariables(env, 'environment', emptyReading(), place);
}

function readVariables(
  variables: NodeJS.ProcessEnv,
  source: string,
  reading: Reading,
  place: Place,
): Reading {
  const isFile = source !== 'environment';
  for (const [name, value] of Object.entries(variables)) {
    const known = BY_VARIABLE.get(name);
    const byFile = BY_FILE_VARIABLE.get(name);
    if (byFile !== undefined) {
      const entry = { key: byFile[0], service: null, setting: byFile[1], name, source };
      if (!isUnset(value)) takeSecretFile(reading, entry, value, place);
    } else if (known === undefined && isKnownElsewhere(name)) {
      if (!isUnset(value)) reading.others.push({ key: null, name, source });
    } else if (known === undefined) {
      const warning = warnOf(name, source);
      if (warning !== null) reading.warnings.push(warning);
    } else if (isFile && NOT_IN_FILES.has(name)) {
      const allowed = `says where ${source} is, so it can only be set in the environment`;
      reading.problems.push({ source, key: name, value: null, allowed });
    } else if (!isUnset(value)) {
      takeEntry(reading, { key: known[0], service: null, setting: known[1], value, name, source });
    }
  }
  return reading;
}

/** Unknown variables are other programs' business, unless they look like ours. */
function warnOf(name: string, source: string): string | null {
  if (!/^[A-Z][A-Z0-9_]*$/.test(name)) return null;
  const meant = meantVariable(name, [...BY_VARIABLE.keys(), ...BY_FILE_VARIABLE.keys()]);
  if (meant !== null) return `${source}: ${name} is not a setting and is ignored; did you mean ${meant}?`;
  return name.startsWith('HA_') ? `${source}: ${name} is not a setting and is ignored` : null;
}
