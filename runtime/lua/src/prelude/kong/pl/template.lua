-- pl.template: text with `$(expression)` in it, and lines of Lua that begin with an escape ("#").
local _, dialect = ...

local setfenv = dialect.setfenv
local type, tostring, pcall, setmetatable, load = type, tostring, pcall, setmetatable, load
local find, sub, match, format = string.find, string.sub, string.match, string.format
local concat = table.concat

local function escaped(text) return (text:gsub("%W", "%%%0")) end

local function put_text(code, text)
  if text ~= "" then code[#code + 1] = format("_put(%q)", text) end
end

-- A line's text, with what stands in it.
local function put_line(code, line, inline)
  local at = 1
  while true do
    local from, expression, behind = match(line, inline, at)
    if not from then break end
    put_text(code, sub(line, at, from - 1))
    code[#code + 1] = "_put(_text((" .. sub(expression, 2, -2) .. ") or ''))"
    at = behind
  end
  put_text(code, sub(line, at))
end

-- A new function for each rendering, so that one which waits keeps its own environment.
local function code_of(text, options)
  local escape = options.escape or "#"
  local inline = "()" .. escaped(options.inline_escape or "$") .. "(%b"
    .. (options.inline_brackets or "()") .. ")()"
  local code, at = { "return function(_put, _text)" }, 1
  while at <= #text do
    local newline = find(text, "\n", at, true) or #text
    local line = sub(text, at, newline)
    local lua = match(line, "^%s*" .. escaped(escape) .. "(.*)")
    if lua then
      code[#code + 1] = (lua:gsub("\r?\n$", ""))
    else
      put_line(code, line, inline)
    end
    at = newline + 1
  end
  code[#code + 1] = "end"
  return (concat(code, options.newline or "\n"))
end

local Template = {}
Template.__index = Template

local function text_of(value) return (tostring(value)) end

-- The text, or nil and why not.
function Template:render(env, parent, code)
  env = env or {}
  if type(parent) == "table" then setmetatable(env, { __index = parent }) end
  local out = {}
  local function put(text) out[#out + 1] = text end
  setfenv(self.chunk, env)
  local ok, why = pcall(self.chunk(), put, text_of)
  if not ok then return nil, why, code or self.code end
  return (concat(out))
end

local template = {}

function template.compile(text, options)
  options = options or {}
  local code = code_of(text, options)
  local chunk, why = load(code, "=" .. (options.chunk_name or "TMP"), "t", {})
  if not chunk then return nil, why, code end
  return (setmetatable({ chunk = chunk, code = options.debug and code or nil }, Template))
end

function template.substitute(text, env)
  env = env or {}
  local made, why, code = template.compile(text, {
    chunk_name = env._chunk_name, escape = env._escape, inline_escape = env._inline_escape,
    inline_brackets = env._brackets, debug = env._debug,
  })
  if not made then return nil, why, code end
  return made:render(env, env._parent)
end

return template
