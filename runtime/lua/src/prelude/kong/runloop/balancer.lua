-- kong.runloop.balancer: the upstreams of the manifest, for plugins that show them.
return require "kong.runloop.balancer.upstreams"
