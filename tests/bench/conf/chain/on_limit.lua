return require "limit"()
