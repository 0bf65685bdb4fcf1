// The proxy-wasm ABI, version 0.2.1, for filters in AssemblyScript.
//
// A filter's entry file exports the callbacks and says what a filter is:
//
//   export * from "./callbacks";
//   import { Action, Filter, onStart } from "./proxy";
//   onStart((config: string): bool => true, (): Filter => new MyFilter());

import { abi } from "./abi";

/** What a callback says of the message. */
export enum Action {
  Continue = 0,
  Pause = 1,
}

export enum Level {
  Trace = 0,
  Debug = 1,
  Info = 2,
  Warn = 3,
  Error = 4,
  Critical = 5,
}

/** Where the host puts what it hands over, until it is read. */
const place = memory.data(16);

function taken(): ArrayBuffer {
  const at = load<usize>(place);
  const size = load<usize>(place, sizeof<usize>());
  const copy = new ArrayBuffer(<i32>size);
  if (size) {
    memory.copy(changetype<usize>(copy), at, size);
    heap.free(at);
  }
  return copy;
}

function address(buffer: ArrayBuffer): usize {
  return changetype<usize>(buffer);
}

/** A map of fields: headers or trailers. Names are found in any case. */
export class Fields {
  constructor(private map: i32) {}

  /** The values of a name, joined by ", "; null when there is none. */
  get(name: string): string | null {
    const key = String.UTF8.encode(name);
    store<usize>(place, 0);
    store<usize>(place, 0, sizeof<usize>());
    const status = abi.proxy_get_header_map_value(
      this.map, address(key), key.byteLength, place, place + sizeof<usize>());
    return status == 0 ? String.UTF8.decode(taken()) : null;
  }

  set(name: string, value: string): void {
    const key = String.UTF8.encode(name);
    const text = String.UTF8.encode(value);
    abi.proxy_replace_header_map_value(
      this.map, address(key), key.byteLength, address(text), text.byteLength);
  }

  add(name: string, value: string): void {
    const key = String.UTF8.encode(name);
    const text = String.UTF8.encode(value);
    abi.proxy_add_header_map_value(
      this.map, address(key), key.byteLength, address(text), text.byteLength);
  }

  remove(name: string): void {
    const key = String.UTF8.encode(name);
    abi.proxy_remove_header_map_value(this.map, address(key), key.byteLength);
  }
}

/** A buffer of bytes: a body, a configuration. */
export class Bytes {
  constructor(private buffer: i32) {}

  /** The bytes from `start` on, at most `max`. */
  read(start: i32, max: i32): ArrayBuffer {
    store<usize>(place, 0);
    store<usize>(place, 0, sizeof<usize>());
    const status = abi.proxy_get_buffer_bytes(
      this.buffer, start, max, place, place + sizeof<usize>());
    return status == 0 ? taken() : new ArrayBuffer(0);
  }

  text(size: i32): string {
    return String.UTF8.decode(this.read(0, size));
  }

  /** Puts bytes in the place of `size` of them from `start` on. */
  write(start: i32, size: i32, bytes: ArrayBuffer): void {
    abi.proxy_set_buffer_bytes(this.buffer, start, size, address(bytes), bytes.byteLength);
  }
}

/** One exchange. A filter overrides what it takes part in. */
export class Filter {
  requestHeaders: Fields = new Fields(0);
  requestTrailers: Fields = new Fields(1);
  responseHeaders: Fields = new Fields(2);
  responseTrailers: Fields = new Fields(3);
  requestBody: Bytes = new Bytes(0);
  responseBody: Bytes = new Bytes(1);

  onRequestHeaders(count: i32, end: bool): Action { return Action.Continue; }
  onRequestBody(size: i32, end: bool): Action { return Action.Continue; }
  onRequestTrailers(count: i32): Action { return Action.Continue; }
  onResponseHeaders(count: i32, end: bool): Action { return Action.Continue; }
  onResponseBody(size: i32, end: bool): Action { return Action.Continue; }
  onResponseTrailers(count: i32): Action { return Action.Continue; }
  onLog(): void {}

  /** Answers in the upstream's place; return Action.Pause then. */
  answer(status: i32, body: string): void {
    const text = String.UTF8.encode(body);
    abi.proxy_send_local_response(status, 0, 0, address(text), text.byteLength, 0, 0, -1);
  }
}

export function log(level: Level, text: string): void {
  const bytes = String.UTF8.encode(text);
  abi.proxy_log(level, address(bytes), bytes.byteLength);
}

/** A property, in the ABI's encoding; null when there is none. */
export function property(path: string[]): ArrayBuffer | null {
  const name = String.UTF8.encode(path.join("\0"));
  store<usize>(place, 0);
  store<usize>(place, 0, sizeof<usize>());
  const status = abi.proxy_get_property(
    address(name), name.byteLength, place, place + sizeof<usize>());
  return status == 0 ? taken() : null;
}

/** What the entry file says of its filter. */
export class Start {
  configure: (config: string) => bool = (config: string): bool => true;
  begin: () => Filter = (): Filter => new Filter();
}

export const start = new Start();

/** Called by the entry file: what reads the manifest's `config`, what makes an exchange's filter. */
export function onStart(configure: (config: string) => bool, begin: () => Filter): void {
  start.configure = configure;
  start.begin = begin;
}
