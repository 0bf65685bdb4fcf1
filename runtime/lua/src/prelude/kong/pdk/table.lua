-- kong.table
return {
  new = require "table.new",
  clear = require "table.clear",
  merge = require("kong.tools.table").table_merge,
}
