-- kong.deprecation: warnings about what a plugin or its configuration should no longer use.
local select, type, setmetatable = select, type, setmetatable

local function raise(...)
  local count = select("#", ...)
  local about = select(count, ...)
  local text = { ... }
  if type(about) == "table" then
    text[count], count = nil, count - 1
  else
    about = {}
  end
  local message = table.concat(text, "", 1, count)
  local notes = {}
  if about.after then notes[#notes + 1] = "deprecated after " .. about.after end
  if about.removal then notes[#notes + 1] = "scheduled for removal in " .. about.removal end
  if #notes > 0 then message = message .. " (" .. table.concat(notes, ", ") .. ")" end
  kong.log.warn(message)
end

return setmetatable({ raise = raise, init = function() end }, {
  __call = function(_, ...) return raise(...) end,
})
