local kit = require "kit"
local equal = kit.equal
local cookie = kit.lib "cookie"

return {
  { "fields that are read and set", function()
    ngx.req.set_header("Cookie", "name=bob; x=a=b; empty=")
    local jar = assert(cookie:new())
    equal(jar:get("name"), "bob")
    equal(jar:get("x"), "a=b")
    equal(jar:get_all(), { name = "bob", x = "a=b", empty = "" })
    assert(jar:set({ key = "a", value = "1", path = "/", httponly = true, max_age = 50 }))
    assert(jar:set({ key = "b", value = "2", samesite = "Strict" }))
    equal(#ngx.header["Set-Cookie"], 2)
    equal(ngx.header["Set-Cookie"][1]:find("^a=1; ") ~= nil, true)
  end },
}
