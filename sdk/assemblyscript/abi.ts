// The host calls that `proxy.ts` uses. More of them: https://github.com/proxy-wasm/spec

export namespace abi {
  // @ts-ignore: decorator
  @external("env", "proxy_log")
  export declare function proxy_log(level: i32, text: usize, len: i32): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_get_header_map_value")
  export declare function proxy_get_header_map_value(
    map: i32, key: usize, klen: i32, value: usize, vlen: usize): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_replace_header_map_value")
  export declare function proxy_replace_header_map_value(
    map: i32, key: usize, klen: i32, value: usize, vlen: i32): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_add_header_map_value")
  export declare function proxy_add_header_map_value(
    map: i32, key: usize, klen: i32, value: usize, vlen: i32): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_remove_header_map_value")
  export declare function proxy_remove_header_map_value(map: i32, key: usize, klen: i32): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_get_buffer_bytes")
  export declare function proxy_get_buffer_bytes(
    buffer: i32, start: i32, max: i32, data: usize, len: usize): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_set_buffer_bytes")
  export declare function proxy_set_buffer_bytes(
    buffer: i32, start: i32, size: i32, data: usize, len: i32): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_get_property")
  export declare function proxy_get_property(
    path: usize, plen: i32, value: usize, vlen: usize): i32;

  // @ts-ignore: decorator
  @external("env", "proxy_send_local_response")
  export declare function proxy_send_local_response(
    status: i32, details: usize, dlen: i32, body: usize, blen: i32,
    headers: usize, hlen: i32, grpc: i32): i32;
}
