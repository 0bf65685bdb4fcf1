local kit = require "kit"
local equal = kit.equal
local str = kit.lib "string"
local hex = str.to_hex

return {
  { "digests", function()
    for name, want in pairs {
      md5 = "5d41402abc4b2a76b9719d911017c592",
      sha1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
      sha224 = "ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193",
      sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
      sha384 = "59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f",
      sha512 = "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7"
        .. "2323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043",
    } do
      local digest = assert(kit.lib("string", name):new())
      equal(digest:update("hel"), true)
      equal(digest:update("lo"), true)
      equal(hex(digest:final()), want, name)
      assert(digest:reset())
      assert(digest:update("hello"))
      equal(hex(digest:final()), want, name .. ", again")
    end
  end },
  { "random bytes, numbers", function()
    local random = kit.lib("string", "random")
    equal(#random.bytes(16, true), 16)
    equal(random.bytes(16) == random.bytes(16), false)
    equal(str.atoi("100"), 100)
  end },
  { "AES in its modes", function()
    local aes = kit.lib("string", "aes")
    local text = "a text that is longer than one block"
    for _, way in ipairs {
      { 128, "cbc" }, { 256, "cbc" }, { 192, "ecb" }, { 256, "ctr" }, { 128, "cfb128" }, { 256, "ofb" },
    } do
      local size, mode = way[1], way[2]
      local made, cipher = pcall(aes.cipher, size, mode)
      if made and cipher then
        local box = assert(aes:new("a secret", "12345678", cipher, aes.hash.sha512, 5))
        local sealed = assert(box:encrypt(text))
        equal(sealed == text, false)
        equal(box:decrypt(sealed), text, size .. mode)
      end
    end
    local box = assert(aes:new("AKeyForAES"))
    equal(box:decrypt(box:encrypt("hello")), "hello")
    equal(box:decrypt("nonsense"), nil)
    local key, iv = ("k"):rep(16), ("i"):rep(16)
    local fixed = assert(aes:new(key, nil, aes.cipher(128, "cbc"), { iv = iv }))
    -- openssl enc -aes-128-cbc -K 6b.. -iv 69..
    equal(ngx.encode_base64(fixed:encrypt("hello")), "pZf60cmzky7/oE7uUoyXxQ==")
  end },
}
