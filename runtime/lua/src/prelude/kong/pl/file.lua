-- pl.file: reading, where `[lua] io` grants it.
local utils = require "pl.utils"

local file = { read = utils.readfile }

function file.write(name, text)
  if not io then return nil, name .. ": scripts have no files here" end
  local out, why = io.open(name, "w")
  if not out then return nil, why end
  out:write(text)
  out:close()
  return true
end

return file
