-- pl.path: names of files. Whether they exist is known where `[lua] io` grants it.
local path = { sep = "/", dirsep = ":" }

function path.splitpath(name)
  local folder, file = name:match("^(.*)/([^/]*)$")
  if not folder then return "", name end
  return folder, file
end

function path.splitext(name)
  local root, extension = name:match("^(.*)(%.[^./]*)$")
  if not root then return name, "" end
  return root, extension
end

function path.basename(name) return (select(2, path.splitpath(name))) end
function path.dirname(name) return (path.splitpath(name)) end
function path.extension(name) return (select(2, path.splitext(name))) end
function path.isabs(name) return name:sub(1, 1) == "/" end

function path.join(first, ...)
  local joined = first
  for _, part in ipairs { ... } do
    if path.isabs(part) then
      joined = part
    elseif joined == "" or joined:sub(-1) == "/" then
      joined = joined .. part
    else
      joined = joined .. "/" .. part
    end
  end
  return joined
end

function path.normpath(name)
  local plain = require("kong.tools.uri").normalize(name, true)
  return #plain > 1 and plain:gsub("/$", "") or plain
end
function path.abspath(name) return path.normpath(path.isabs(name) and name or "/" .. name) end

function path.exists(name)
  local file = io and io.open(name, "r")
  if not file then return false end
  file:close()
  return name
end
function path.isfile(name) return path.exists(name) and true or false end
function path.isdir() return false end

return path
