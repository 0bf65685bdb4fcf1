-- nginx has one access script a location: the chain of three, and with it both signatures.
local jwt = require "jwt"
jwt.check("HS256", "http_x_hs", jwt.hs256)
require "limit"()
require "rewrite"()
