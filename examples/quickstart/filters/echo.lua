-- Answers with what was asked.
local content = {}

function content.request(req)
  local lines = { req.method .. " " .. req.path .. (req.query and "?" .. req.query or "") }
  for name, value in pairs(req.headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  local body = table.concat(lines, "\n") .. "\n"
  return { status = 200, headers = { ["content-type"] = "text/plain" }, body = body }
end

return content
