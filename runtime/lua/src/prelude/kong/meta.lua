-- kong.meta: the Kong whose plugins this dialect runs.
local version = setmetatable({ major = 3, minor = 10, patch = 0 }, {
  __tostring = function(v) return v.major .. "." .. v.minor .. "." .. v.patch end,
})

return {
  _NAME = "kong",
  _VERSION = tostring(version),
  _VERSION_TABLE = version,
  _SERVER_TOKENS = "kong/" .. tostring(version),
  version = tostring(version),
  _DEPENDENCIES = { nginx = { "1.27.1.2" } },
}
