local kit = require "kit"
local equal = kit.equal
local upload = kit.lib "upload"

return {
  { "a form with a file", client = "upload", function()
    local form = assert(upload:new(4096))
    form:set_timeout(5000)
    local parts, part = {}, nil
    while true do
      local kind, data, why = form:read()
      assert(kind, why)
      if kind == "header" then
        part = part or { fields = {}, body = {} }
        part.fields[data[1]:lower()] = data[2]
      elseif kind == "body" then
        part.body[#part.body + 1] = data
      elseif kind == "part_end" then
        parts[#parts + 1], part = part, nil
      elseif kind == "eof" then
        break
      end
    end
    equal(#parts, 2)
    equal(table.concat(parts[1].body), "A title")
    equal(parts[2].fields["content-disposition"], 'form-data; name="file"; filename="a.bin"')
    equal(ngx.md5(table.concat(parts[2].body)), ngx.var.http_x_sum)
  end },
  { "a body that is no form", client = "post", function()
    local form, why = upload:new(4096)
    equal({ form, why }, { nil, "no boundary defined in Content-Type" })
  end },
}
