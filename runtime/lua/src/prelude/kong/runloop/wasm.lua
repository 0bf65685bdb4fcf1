-- kong.runloop.wasm: Wasm filters stand in the manifest's chains, not below Kong's plugins.
return {
  enabled = function() return false end,
  get_version = function() return 0 end,
  status = function() return nil, "wasm is not enabled" end,
}
