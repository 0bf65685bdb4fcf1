return require "kong.plugins.probe.run" { "rewrite", "access", "header_filter", "body_filter", "log" }
