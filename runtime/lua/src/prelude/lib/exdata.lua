-- `thread.exdata`: a value that goes with a coroutine.
local running, setmetatable, select = coroutine.running, setmetatable, select

-- Answers what the coroutine has, or sets it.
return function()
  local main = {}
  local kept = setmetatable({}, { __mode = "k" })
  return function(...)
    local at = running() or main
    if select("#", ...) == 0 then return kept[at] end
    kept[at] = (...)
  end
end
