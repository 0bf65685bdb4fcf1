// The callbacks of the ABI, as the host calls them.

import { Action, Bytes, Filter, start } from "./proxy";

const filters = new Map<i32, Filter>();

function find(context: i32): Filter {
  return filters.get(context);
}

export function proxy_abi_version_0_2_1(): void {}

export function proxy_on_memory_allocate(size: usize): usize {
  return heap.alloc(size);
}

export function proxy_on_context_create(context: i32, parent: i32): void {
  if (parent) filters.set(context, start.begin());
}

export function proxy_on_vm_start(root: i32, size: i32): bool {
  return true;
}

export function proxy_on_configure(root: i32, size: i32): bool {
  return start.configure(new Bytes(7).text(size));
}

export function proxy_on_request_headers(context: i32, count: i32, end: bool): Action {
  return find(context).onRequestHeaders(count, end);
}

export function proxy_on_request_body(context: i32, size: i32, end: bool): Action {
  return find(context).onRequestBody(size, end);
}

export function proxy_on_request_trailers(context: i32, count: i32): Action {
  return find(context).onRequestTrailers(count);
}

export function proxy_on_response_headers(context: i32, count: i32, end: bool): Action {
  return find(context).onResponseHeaders(count, end);
}

export function proxy_on_response_body(context: i32, size: i32, end: bool): Action {
  return find(context).onResponseBody(size, end);
}

export function proxy_on_response_trailers(context: i32, count: i32): Action {
  return find(context).onResponseTrailers(count);
}

export function proxy_on_log(context: i32): void {
  if (filters.has(context)) find(context).onLog();
}

export function proxy_on_done(context: i32): bool {
  return true;
}

export function proxy_on_delete(context: i32): void {
  filters.delete(context);
}
