return require "rewrite"()
